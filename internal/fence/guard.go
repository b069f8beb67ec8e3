package fence

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// hook is the kernel's part.
type hook interface {
	// index finds an interface by its name.
	index(name string) (int, error)
	// attach puts the program at the egress of an interface, until what it returns is
	// closed.
	attach(index int) (io.Closer, error)
	Close() error
}

// post is an interface with the program on it.
type post struct {
	index int
	link  io.Closer
}

// Guard has the kernel's gate on exactly these interfaces. It may be called as often as
// the caller likes; where nothing changed it costs one system call for each. What cannot be guarded is in the
// error and in Mode, and is tried again at the next call. Where there is no kernel's
// gate at all it does nothing: Mode says why.
func (f *Fence) Guard(interfaces []string) error {
	if f.kernel == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.guarded {
		if !slices.Contains(interfaces, name) {
			f.leave(name)
		}
	}
	clear(f.gaps)
	var all []error
	for _, name := range interfaces {
		if err := f.enter(name); err != nil {
			err = fmt.Errorf("fence %s: %w", name, err)
			f.gaps[name] = err
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// enter puts the program on an interface, if it is not there. The caller holds mu.
func (f *Fence) enter(name string) error {
	index, err := f.kernel.index(name)
	if err != nil {
		f.leave(name)
		return err
	}
	// Another interface of the same name: with the old one the kernel ended its link.
	if at, ok := f.guarded[name]; ok && at.index != index {
		f.leave(name)
	}
	if _, ok := f.guarded[name]; ok {
		return nil
	}
	link, err := f.kernel.attach(index)
	if err != nil {
		return err
	}
	f.guarded[name] = post{index: index, link: link}
	f.log.Info("fence is up", "iface", name)
	return nil
}

// leave takes the program off an interface, if it is there. The caller holds mu.
func (f *Fence) leave(name string) {
	at, ok := f.guarded[name]
	if !ok {
		return
	}
	delete(f.guarded, name)
	if err := at.link.Close(); err != nil {
		f.log.Warn("fence is not taken down", "iface", name, "err", err)
		return
	}
	f.log.Info("fence is down", "iface", name)
}
