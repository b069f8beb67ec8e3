package announce

import (
	"fmt"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/announce/arp"
	"fairlead.dev/fairlead/internal/announce/claims"
	"fairlead.dev/fairlead/internal/announce/ether"
	"fairlead.dev/fairlead/internal/announce/ndp"
)

// listen answers what comes in until the socket fails.
func (s *station) listen(sock socket) error {
	in := make([]byte, 2048)
	out := make([]byte, 0, frameLen)
	for {
		n, err := sock.Read(in)
		if err != nil {
			return fmt.Errorf("receive %s on %s: %w", s.protocol, s.name, err)
		}
		p := s.announce.pass()
		var about netip.Addr
		out, about = s.answer(in[:n], out[:0])
		if len(out) == 0 {
			continue
		}
		left, err := s.write(sock, out, p)
		switch {
		case err != nil:
			return err
		case left:
			s.counts.answers.Inc()
		default:
			s.unanswered(about)
		}
	}
}

// answer appends the answer to a frame to out: nothing where it gets none. about is the
// address that it tells of. It allocates nothing.
func (s *station) answer(in, out []byte) (answer []byte, about netip.Addr) {
	var drop ether.Drop
	if s.protocol == protocolARP {
		out, about, drop = s.answerARP(in, out)
	} else {
		out, about, drop = s.answerNDP(in, out)
	}
	if drop != "" {
		s.announce.metrics.drop(drop, 1)
	}
	return out, about
}

func (s *station) answerARP(in, out []byte) ([]byte, netip.Addr, ether.Drop) {
	p, drop := arp.Parse(in)
	if drop != "" {
		return out, p.TargetIP, drop
	}
	a := s.announce
	a.mu.Lock()
	answer, drop := a.table.HearARP(time.Now(), s.index, p)
	a.react()
	a.mu.Unlock()
	if p.Operation == arp.Request {
		s.countQuestion(drop)
	}
	if drop != "" {
		return out, p.TargetIP, drop
	}
	return answer.Append(out), p.TargetIP, ""
}

func (s *station) answerNDP(in, out []byte) ([]byte, netip.Addr, ether.Drop) {
	m, drop := ndp.Parse(in)
	if drop != "" {
		return out, m.Target, drop
	}
	a := s.announce
	a.mu.Lock()
	answer, drop := a.table.HearNDP(time.Now(), s.index, m)
	a.react()
	a.mu.Unlock()
	if m.Type == ndp.Solicitation {
		s.countQuestion(drop)
	}
	if drop != "" {
		return out, m.Target, drop
	}
	return answer.Append(out), m.Target, ""
}

// countQuestion counts those that concern an address that we claim.
func (s *station) countQuestion(drop ether.Drop) {
	if drop == "" || drop == claims.NotYet {
		s.counts.questions.Inc()
	}
}
