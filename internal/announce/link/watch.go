package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// source is where messages come from: the kernel, or a test.
type source interface {
	// Dump returns everything that there is.
	Dump(ctx context.Context) ([]syscall.NetlinkMessage, error)
	// Receive blocks until there is news.
	Receive() ([]syscall.NetlinkMessage, error)
	Close()
}

// retry is the wait before the kernel is asked again after it refused.
const retry = time.Second

// Watch calls changed with what there is, and again whenever that differs, until
// ctx ends. Interfaces that match a pattern of exclude (path.Match) are left out.
// It fails only for a pattern that cannot be read.
func Watch(ctx context.Context, exclude []string, log *slog.Logger, changed func(Snapshot)) error {
	if err := checkPatterns(exclude); err != nil {
		return err
	}
	w := watcher{exclude: exclude, log: log, open: subscribe, changed: changed, links: newLinks()}
	w.run(ctx)
	return nil
}

type watcher struct {
	exclude []string
	log     *slog.Logger
	open    func() (source, error)
	changed func(Snapshot)
	links   *links
	last    Snapshot
	told    bool
}

func (w *watcher) run(ctx context.Context) {
	for {
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := retry
		if errors.Is(err, unix.ENOBUFS) {
			// There was more news than the socket holds: what we know is stale, and
			// asking at once is the cure.
			wait = 0
		}
		w.log.Warn("interfaces are read anew", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// follow subscribes, then asks for everything, then reads news until that fails.
// In this order nothing is missed; news from before the answer is applied twice,
// and ends as the answer.
func (w *watcher) follow(ctx context.Context) error {
	s, err := w.open()
	if err != nil {
		return fmt.Errorf("subscribe to interfaces: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	all, err := s.Dump(ctx)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	fresh := newLinks()
	for _, m := range all {
		fresh.take(m)
	}
	fresh.carryOver(w.links)
	w.links = fresh
	for {
		w.tell()
		news, err := s.Receive()
		if err != nil {
			return fmt.Errorf("read news of interfaces: %w", err)
		}
		for _, m := range news {
			w.links.take(m)
		}
	}
}

func (w *watcher) tell() {
	now := w.links.snapshot(w.exclude)
	if w.told && now.Equal(w.last) {
		return
	}
	w.last, w.told = now, true
	w.changed(now)
}

// subscription is a netlink socket that receives news of links and of IPv6 addresses.
// One socket for both keeps them in the order in which they happened.
type subscription struct{ *nl.NetlinkSocket }

// receiveBuffer in bytes holds the news of some hundred pods that start at once.
const receiveBuffer = 1 << 20

func subscribe() (source, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, err
	}
	if s.SetReceiveBufferSize(receiveBuffer, true) != nil {
		// Without NET_ADMIN net.core.rmem_max is the most; overflow is recovered from.
		_ = s.SetReceiveBufferSize(receiveBuffer, false)
	}
	return subscription{s}, nil
}

// Receive returns the kernel's next datagram; what other processes send us is
// left out.
func (s subscription) Receive() ([]syscall.NetlinkMessage, error) {
	for {
		messages, from, err := s.NetlinkSocket.Receive()
		if err != nil {
			return nil, err
		}
		if from.Pid == nl.PidKernel {
			return messages, nil
		}
	}
}

// Dump asks on sockets of its own, so that answers and news cannot mix.
func (s subscription) Dump(ctx context.Context) ([]syscall.NetlinkMessage, error) {
	links := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	links.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	all, err := dump(ctx, links, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	addresses := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	addresses.AddData(nl.NewIfAddrmsg(unix.AF_INET6))
	more, err := dump(ctx, addresses, unix.RTM_NEWADDR)
	return append(all, more...), err
}

func dump(ctx context.Context, request *nl.NetlinkRequest, kind uint16) ([]syscall.NetlinkMessage, error) {
	for {
		answers, err := request.Execute(unix.NETLINK_ROUTE, kind)
		if errors.Is(err, nl.ErrDumpInterrupted) && ctx.Err() == nil {
			continue // something changed meanwhile: the answer may be torn
		}
		if err != nil {
			return nil, err
		}
		messages := make([]syscall.NetlinkMessage, len(answers))
		for i, a := range answers {
			messages[i] = syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: a}
		}
		return messages, nil
	}
}
