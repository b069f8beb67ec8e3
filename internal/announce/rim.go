package announce

import (
	"context"
	"log/slog"
	"net/netip"

	"fairlead.dev/fairlead/internal/announce/link"
)

// rim is what an Announcer needs of the kernel.
type rim struct {
	// watch calls changed with what there is, and again when that changes, until
	// ctx ends.
	watch func(ctx context.Context, exclude []string, log *slog.Logger, changed func(link.Snapshot)) error
	open  func(stationKey) (socket, error)
	// member makes an empty set of groups that an interface is in.
	member func(index int) membership
}

// socket carries Ethernet frames of one protocol on one interface.
type socket interface {
	// Read blocks for the next frame; it ends with an error when the socket is closed.
	Read(frame []byte) (int, error)
	// Write may be called by several goroutines.
	Write(frame []byte) error
	Close()
}

// membership is the set of IPv6 groups that an interface is in on our behalf.
type membership interface {
	// Set joins and leaves so that it is these groups, which are sorted. After an error it may be
	// called again; what could be done has been.
	Set(groups []netip.Addr) error
	// Close leaves all.
	Close()
}

// kernel is the real one; mark is on every frame that is sent.
func kernel(mark uint32) rim {
	return rim{
		watch:  link.Watch,
		open:   func(key stationKey) (socket, error) { return openSocket(key, mark) },
		member: newMembership,
	}
}
