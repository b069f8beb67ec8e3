package relay

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attributes of conntrack messages (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaTupleOrig = 1
	ctaProtoInfo = 4
	ctaFilter    = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaProtoNumber, ctaProtoSource, ctaProtoDest = 1, 2, 3

	ctaProtoInfoTCP      = 1
	ctaProtoInfoTCPState = 1

	ctaFilterOrig   = 1
	ctaFilterIPDest = 1 << 1 // CTA_FILTER_FLAG(CTA_IP_DST), net/netfilter/nf_internals.h

	// tcpTimeWait is the first state of a connection that is over
	// (linux/netfilter/nf_conntrack_tcp.h).
	tcpTimeWait = 7
)

// recall adds what conntrack has of addresses that were not relayed before to the
// connections that began here. Without it, what was open when the address left this
// node would be sent away when it comes back.
func (r *Relays) recall(ctx context.Context, has, next []ingress) error {
	for _, f := range families {
		added := addresses(next, f)
		before := addresses(has, f)
		added = slices.DeleteFunc(added, func(a netip.Addr) bool { return slices.Contains(before, a) })
		if len(added) == 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		open, err := tracked(f, added)
		if err != nil {
			// Then only what begins from now on is known: all there is at a first move.
			r.log.Info("open connections not read from conntrack", "err", err)
			continue
		}
		if err := remember(f, open); err != nil {
			return err
		}
	}
	return nil
}

// addresses are those that are relayed on any interface, sorted.
func addresses(all []ingress, f family) (out []netip.Addr) {
	for _, in := range all {
		for _, v := range in.vias(f) {
			out = append(out, v.VIP)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// tracked are the open TCP connections to addresses that this node's conntrack has.
func tracked(f family, to []netip.Addr) ([]connection, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("read conntrack: %w", err)
	}
	defer func() { _ = conn.Close() }()
	query := netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, // IPCTNL_MSG_CT_GET
			Flags: netlink.Request | netlink.Dump,
		},
		Data: []byte{f.AF, unix.NFNETLINK_V0, 0, 0},
	}
	if len(to) == 1 && !f.IPv6 {
		filter, err := f.filter(to[0])
		if err != nil {
			return nil, err
		}
		query.Data = append(query.Data, filter...)
	}
	messages, err := conn.Execute(query)
	if err != nil {
		return nil, fmt.Errorf("read conntrack: %w", err)
	}
	var open []connection
	for _, m := range messages {
		if c, ok := f.parse(m.Data); ok && slices.Contains(to, c.VIP.Addr()) {
			open = append(open, c)
		}
	}
	return open, nil
}

// filter has the kernel leave out connections to other addresses, since Linux 5.8;
// older ones do not read it and tell all. For IPv6 the kernel, 6.18 included, leaves
// out just those that were asked for (ctnetlink_filter_match_tuple takes the result of
// ipv6_addr_cmp for a truth value).
func (f family) filter(to netip.Addr) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.Nested(ctaTupleOrig, func(tuple *netlink.AttributeEncoder) error {
		tuple.Nested(ctaTupleIP, func(ip *netlink.AttributeEncoder) error {
			ip.Bytes(f.ConntrackDest, to.AsSlice())
			return nil
		})
		return nil
	})
	e.Nested(ctaFilter, func(filter *netlink.AttributeEncoder) error {
		filter.Uint32(ctaFilterOrig, ctaFilterIPDest)
		return nil
	})
	return e.Encode()
}

// parse reads a connection that is not over, as its client began it.
func (f family) parse(message []byte) (c connection, ok bool) {
	if len(message) < 4 {
		return c, false
	}
	d, err := netlink.NewAttributeDecoder(message[4:])
	if err != nil {
		return c, false
	}
	d.ByteOrder = binary.BigEndian
	var protocol, state uint8
	var client, vip netip.Addr
	var from, to uint16
	for d.Next() {
		switch d.Type() {
		case ctaTupleOrig:
			d.Nested(func(tuple *netlink.AttributeDecoder) error {
				for tuple.Next() {
					switch tuple.Type() {
					case ctaTupleIP:
						tuple.Nested(func(ip *netlink.AttributeDecoder) error { client, vip = f.ends(ip); return nil })
					case ctaTupleProto:
						tuple.Nested(func(ports *netlink.AttributeDecoder) error { protocol, from, to = ends(ports); return nil })
					}
				}
				return nil
			})
		case ctaProtoInfo:
			d.Nested(func(info *netlink.AttributeDecoder) error { state = tcpState(info); return nil })
		}
	}
	if d.Err() != nil || protocol != unix.IPPROTO_TCP || state >= tcpTimeWait || !client.IsValid() || !vip.IsValid() {
		return c, false
	}
	return connection{Client: netip.AddrPortFrom(client, from), VIP: netip.AddrPortFrom(vip, to)}, true
}

func (f family) ends(d *netlink.AttributeDecoder) (source, dest netip.Addr) {
	for d.Next() {
		switch d.Type() {
		case f.ConntrackSource:
			source, _ = netip.AddrFromSlice(d.Bytes())
		case f.ConntrackDest:
			dest, _ = netip.AddrFromSlice(d.Bytes())
		}
	}
	return source, dest
}

func ends(d *netlink.AttributeDecoder) (protocol uint8, source, dest uint16) {
	for d.Next() {
		switch d.Type() {
		case ctaProtoNumber:
			protocol = d.Uint8()
		case ctaProtoSource:
			source = d.Uint16()
		case ctaProtoDest:
			dest = d.Uint16()
		}
	}
	return protocol, source, dest
}

func tcpState(d *netlink.AttributeDecoder) (state uint8) {
	for d.Next() {
		if d.Type() == ctaProtoInfoTCP {
			d.Nested(func(tcp *netlink.AttributeDecoder) error {
				for tcp.Next() {
					if tcp.Type() == ctaProtoInfoTCPState {
						state = tcp.Uint8()
					}
				}
				return nil
			})
		}
	}
	return state
}
