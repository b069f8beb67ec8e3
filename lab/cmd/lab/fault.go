package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/lab"
)

func faultCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "fault", Short: "Break a machine or its network, and mend it"}
	verbs := []struct {
		use, short string
		do         func(context.Context, *lab.Host) error
	}{
		{"crash", "Power cut", func(ctx context.Context, h *lab.Host) error { return h.Crash(ctx) }},
		{"recover", "Boot a crashed machine with its disk", func(ctx context.Context, h *lab.Host) error { return h.Recover(ctx) }},
		{"link-down", "Take its interfaces down", func(ctx context.Context, h *lab.Host) error { return h.LinkDown(ctx) }},
		{"link-up", "Undo link-down", func(ctx context.Context, h *lab.Host) error { return h.LinkUp(ctx) }},
		{"cable-out", "Pull its cables at the switch; carrier stays", func(ctx context.Context, h *lab.Host) error { return h.CableOut(ctx) }},
		{"cable-in", "Undo cable-out", func(ctx context.Context, h *lab.Host) error { return h.CableIn(ctx) }},
		{"hang", "Stop its kernel: nothing runs and no frame passes; carrier stays", func(ctx context.Context, h *lab.Host) error { return h.Hang(ctx) }},
		{"unhang", "Undo hang", func(ctx context.Context, h *lab.Host) error { return h.Unhang(ctx) }},
		{"stop-hogs", "Undo hog", func(ctx context.Context, h *lab.Host) error { return h.StopHogs(ctx) }},
		{"cut-from-api", "Lose all traffic with the control plane", func(ctx context.Context, h *lab.Host) error { return h.CutFromAPI(ctx) }},
		{"join-api", "Undo cut-from-api", func(ctx context.Context, h *lab.Host) error { return h.JoinAPI(ctx) }},
	}
	for _, v := range verbs {
		cmd.AddCommand(&cobra.Command{
			Use: v.use + " MACHINE", Short: v.short, Args: cobra.ExactArgs(1),
			RunE: onHost(func(ctx context.Context, h *lab.Host, _ []string) error { return v.do(ctx, h) }),
		})
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "freeze MACHINE [PROGRAM...]", Short: "Stop programs, or all user space", Args: cobra.MinimumNArgs(1),
			RunE: onHost(func(ctx context.Context, h *lab.Host, names []string) error { return h.Freeze(ctx, names...) }),
		},
		&cobra.Command{
			Use: "thaw MACHINE [PROGRAM...]", Short: "Undo freeze", Args: cobra.MinimumNArgs(1),
			RunE: onHost(func(ctx context.Context, h *lab.Host, names []string) error { return h.Thaw(ctx, names...) }),
		},
		&cobra.Command{
			Use: "drop MACHINE SHARE [in|out|both]", Short: "Lose a share of its frames, such as 0.3; 0 ends it", Args: cobra.RangeArgs(2, 3),
			RunE: onHost(dropShare),
		},
		&cobra.Command{
			Use: "hog MACHINE N", Short: "Start N loops that want a processor each", Args: cobra.ExactArgs(2),
			RunE: onHost(hog),
		},
		&cobra.Command{
			Use: "cut MACHINE OTHER...", Short: "Lose its frames to others, and not theirs to it; heal ends it", Args: cobra.MinimumNArgs(2),
			RunE: onLab(cut),
		},
		&cobra.Command{
			Use: "partition GROUP GROUP...", Short: "Split the nodes' segment; a group is n1,n2,client; heal ends it", Args: cobra.MinimumNArgs(2),
			RunE: onLab(partition),
		},
		&cobra.Command{
			Use: "heal", Short: "Undo cut and partition", Args: cobra.NoArgs,
			RunE: onLab(func(ctx context.Context, l *lab.Lab, _ []string) error { return l.Heal(ctx) }),
		},
		apiServerCommand("stop-apiserver", "Stop the API server", func(ctx context.Context, l *lab.Lab) error { return l.StopAPIServer(ctx) }),
		apiServerCommand("start-apiserver", "Start it again", func(ctx context.Context, l *lab.Lab) error { return l.StartAPIServer(ctx) }),
	)
	return cmd
}

func onHost(do func(context.Context, *lab.Host, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := attach(cmd)
		if err != nil {
			return err
		}
		return do(cmd.Context(), l.Host(args[0]), args[1:])
	}
}

func apiServerCommand(use, short string, do func(context.Context, *lab.Lab) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: onLab(func(ctx context.Context, l *lab.Lab, _ []string) error { return do(ctx, l) }),
	}
}

func onLab(do func(context.Context, *lab.Lab, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := attach(cmd)
		if err != nil {
			return err
		}
		return do(cmd.Context(), l, args)
	}
}

func partition(ctx context.Context, l *lab.Lab, args []string) error {
	var groups [][]*lab.Host
	for _, group := range args {
		groups = append(groups, hosts(l, strings.Split(group, ",")))
	}
	return l.Partition(ctx, groups...)
}

func hosts(l *lab.Lab, names []string) []*lab.Host {
	var all []*lab.Host
	for _, name := range names {
		all = append(all, l.Host(name))
	}
	return all
}

func cut(ctx context.Context, l *lab.Lab, args []string) error {
	return l.Host(args[0]).CutTo(ctx, hosts(l, args[1:])...)
}

func hog(ctx context.Context, h *lab.Host, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return fmt.Errorf("%q hogs: use a number from 1", args[0])
	}
	return h.Hog(ctx, n)
}

func dropShare(ctx context.Context, h *lab.Host, args []string) error {
	share, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return fmt.Errorf("share %q: use a number from 0 to 1", args[0])
	}
	dir := lab.Both
	if len(args) > 1 {
		dir = lab.Dir(args[1])
	}
	return h.DropShare(ctx, share, dir)
}
