// Command inside is the one program that a lab puts into its machines; see
// package inside. People use cmd/lab.
package main

import (
	"fmt"
	"os"
	"strconv"

	"fairlead.dev/fairlead/lab/inside"
	"fairlead.dev/fairlead/lab/inside/kubelet"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: inside init CONFIG | enter PID COMMAND... | echo | forward NETNS ADDR | kubelet CONFIG"))
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fail(err)
	}
}

func run(what string, args []string) error {
	switch {
	case what == "init" && len(args) == 1:
		return inside.Init(args[0])
	case what == "enter" && len(args) >= 2:
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		status, err := inside.Enter(pid, args[1:])
		if err == nil {
			os.Exit(status)
		}
		return err
	case what == "become" && len(args) >= 2:
		return inside.Become(args[0], args[1:])
	case what == "echo":
		return inside.Echo(args)
	case what == "forward" && len(args) == 2:
		return inside.Forward(args[0], args[1])
	case what == "kubelet" && len(args) == 1:
		return kubelet.Run(args[0])
	case what == kubelet.PodCommand:
		return kubelet.Pod(args)
	}
	return fmt.Errorf("unknown command %q with %d arguments", what, len(args))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "inside:", err)
	os.Exit(1)
}
