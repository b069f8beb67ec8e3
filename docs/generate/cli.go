package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// commandLine asks the program itself for its help, command by command.
func commandLine(ctx context.Context, root string) (string, error) {
	dir, err := os.MkdirTemp("", "fairlead-docs-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "fairlead")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/fairlead")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	var out strings.Builder
	out.WriteString("# Command line\n\n" + notice +
		"One binary has all roles and commands. The flags of `fairlead` itself go with every command. As `kubectl-fairlead`\n" +
		"on the `PATH` it is `kubectl fairlead`.\n\n" +
		"`status` and `explain` only read. They need the rights to list Services, Namespaces, Nodes, EndpointSlices,\n" +
		"AddressPools, LoadBalancerClasses and Speakers in the whole cluster.\n\n" +
		"The program ends with 0 when it did what was asked, and with 1 and a line `error: …` on standard error otherwise.\n")
	if err := command(ctx, &out, program, nil); err != nil {
		return "", err
	}
	return out.String(), nil
}

// listed finds the commands in a help text.
var listed = regexp.MustCompile(`(?m)^  ([a-z-]+) {2,}`)

// command writes the help of one command, then that of those below it.
func command(ctx context.Context, out *strings.Builder, program string, path []string) error {
	help := exec.CommandContext(ctx, program, slices.Concat(path, []string{"--help"})...)
	// Defaults that come from the environment would make another page on every machine.
	help.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	text, err := help.Output()
	if err != nil {
		return fmt.Errorf("ask %v for help: %w", path, err)
	}
	own, _, _ := strings.Cut(string(text), "\nGlobal Flags:")
	own, _, _ = strings.Cut(own, "\nUse \"")
	fmt.Fprintf(out, "\n## %s\n\n```text\n%s\n```\n", strings.Join(slices.Concat([]string{"fairlead"}, path), " "), strings.TrimSpace(own))

	_, commands, _ := strings.Cut(own, "Available Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for _, found := range listed.FindAllStringSubmatch(commands, -1) {
		// What help and completion of a shell say of themselves is cobra's.
		if found[1] == "help" || slices.Contains(path, "completion") {
			continue
		}
		if err := command(ctx, out, program, append(slices.Clone(path), found[1])); err != nil {
			return err
		}
	}
	return nil
}
