package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// An election as text, one thing a line:
//
//	node NAME [labels=a,b] [interfaces=eth0,wlan0] [quorum=yes|no] [unaware=ADDRESS,...]
//	     [dead] [excluded] [out-of-service] [no-network] [leaving]
//	class NAME [default] [nodes=LABEL] [interfaces=PATTERN,...]
//	service NAME ADDRESS,... [class=NAME] [local=NODE,...]
//	claim NODE ADDRESS STATE [epoch=N] [since=SECONDS] [offer=NODE]
//	owner ADDRESS NODE|-
//
// A line that begins with # says something to people.

// writeElection is the text of a world, without owners.
func writeElection(w lb.World) string {
	var b strings.Builder
	line := func(words ...string) {
		fmt.Fprintln(&b, strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " "))
	}
	flag := func(set bool, word string) string {
		if set {
			return word
		}
		return ""
	}
	for i, n := range w.Nodes {
		s := w.Speakers[i]
		quorum := ""
		if s.Hearing != nil {
			quorum = "quorum=" + map[bool]string{true: "yes", false: "no"}[s.Hearing.Quorate]
		}
		var labels, interfaces []string
		for l := range n.Labels {
			labels = append(labels, l)
		}
		slices.Sort(labels)
		for _, i := range s.Interfaces {
			interfaces = append(interfaces, i.Name)
		}
		line("node", n.Name, list("labels", labels), list("interfaces", interfaces), quorum, list("unaware", texts(s.Unaware)),
			flag(!n.Alive, "dead"), flag(n.Excluded, "excluded"), flag(n.OutOfService, "out-of-service"),
			flag(n.NetworkUnavailable, "no-network"), flag(s.Leaving, "leaving"))
	}
	for _, c := range w.Classes {
		label := ""
		if c.L2.NodeSelector != nil {
			label = "nodes=" + c.L2.NodeSelector.Requirements[0].Key
		}
		line("class", c.Name, flag(c.Default, "default"), label, list("interfaces", c.L2.Interfaces))
	}
	for _, s := range w.Services {
		local := ""
		if s.Local {
			i := slices.IndexFunc(w.Endpoints, func(e lb.Endpoints) bool { return e.Service == s.Key })
			local = "local=" + strings.Join(w.Endpoints[i].Nodes, ",")
		}
		class := strings.TrimPrefix(s.Class, lb.ClassPrefix)
		line("service", s.Name, strings.Join(texts(s.Held), ","), flag(class != "", "class="+class), local)
	}
	for _, s := range w.Speakers {
		for _, c := range s.Claims {
			line("claim", s.Node, c.Address.String(), string(c.State), flag(c.Epoch > 0, fmt.Sprintf("epoch=%d", c.Epoch)),
				flag(c.Since.After(epoch), fmt.Sprintf("since=%d", int(c.Since.Sub(epoch).Seconds()))), flag(c.Offer != "", "offer="+c.Offer))
		}
	}
	return b.String()
}

func list(name string, words []string) string {
	if len(words) == 0 {
		return ""
	}
	return name + "=" + strings.Join(words, ",")
}

func texts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// readElection reads the text of an election, and who owns what as answer writes it.
func readElection(text string) (w lb.World, owners string, err error) {
	r := electionReader{World: lb.World{Pools: []lb.Pool{{Name: "any", AutoAssign: true}}}}
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if words[0] == "owner" {
			owners += line + "\n"
			continue
		}
		if r.read(words); r.err != nil {
			return r.World, "", fmt.Errorf("line %d: %q: %w", n+1, line, r.err)
		}
	}
	return r.World, owners, nil
}

// electionReader keeps the first error.
type electionReader struct {
	lb.World
	err error
}

func (r *electionReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *electionReader) read(words []string) {
	kinds := map[string]struct {
		words int
		read  func(words []string)
	}{
		"node": {2, r.node}, "class": {2, r.class}, "service": {3, r.service}, "claim": {4, r.claim},
	}
	kind, known := kinds[words[0]]
	if !known || len(words) < kind.words {
		r.fail(errors.New("such a line is not known"))
		return
	}
	kind.read(words[1:])
}

// each hands over the words KEY or KEY=VALUE, until one is not known.
func (r *electionReader) each(words []string, use func(key, value string) (known bool)) {
	for _, word := range words {
		if key, value, _ := strings.Cut(word, "="); !use(key, value) {
			r.fail(fmt.Errorf("what is %q?", word))
		}
	}
}

func (r *electionReader) addresses(list string) (out []netip.Addr) {
	for s := range strings.SplitSeq(list, ",") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			r.fail(err)
		}
		out = append(out, a)
	}
	return out
}

func (r *electionReader) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		r.fail(err)
	}
	return n
}

func (r *electionReader) node(words []string) {
	n, s := lb.Node{Name: words[0], Alive: true}, lb.Speaker{Node: words[0]}
	r.each(words[1:], func(key, value string) bool {
		switch key {
		case "labels":
			n.Labels = make(map[string]string)
			for l := range strings.SplitSeq(value, ",") {
				n.Labels[l] = ""
			}
		case "interfaces":
			for i := range strings.SplitSeq(value, ",") {
				s.Interfaces = append(s.Interfaces, lb.Interface{Name: i})
			}
		case "quorum":
			s.Hearing = &lb.Hearing{Quorate: value == "yes"}
		case "unaware":
			s.Unaware = r.addresses(value)
		case "dead":
			n.Alive = false
		case "excluded":
			n.Excluded = true
		case "out-of-service":
			n.OutOfService = true
		case "no-network":
			n.NetworkUnavailable = true
		case "leaving":
			s.Leaving = true
		default:
			return false
		}
		return true
	})
	r.Nodes, r.Speakers = append(r.Nodes, n), append(r.Speakers, s)
}

func (r *electionReader) class(words []string) {
	c := lb.Class{Name: words[0], Provider: lb.ProviderL2}
	r.each(words[1:], func(key, value string) bool {
		switch key {
		case "default":
			c.Default = true
		case "nodes":
			c.L2.NodeSelector = &lb.Selector{Requirements: []lb.Requirement{{Key: value, Operator: lb.Exists}}}
		case "interfaces":
			c.L2.Interfaces = strings.Split(value, ",")
		default:
			return false
		}
		return true
	})
	r.Classes = append(r.Classes, c)
}

func (r *electionReader) service(words []string) {
	s := newService(words[0], len(r.Services))
	s.Marked, s.Held = true, r.addresses(words[1])
	r.each(words[2:], func(key, value string) bool {
		switch key {
		case "class":
			s.Class = lb.ClassPrefix + value
		case "local":
			s.Local = true
			r.Endpoints = append(r.Endpoints, lb.Endpoints{Service: s.Key, Nodes: strings.Split(value, ",")})
		default:
			return false
		}
		return true
	})
	r.Services = append(r.Services, s)
}

func (r *electionReader) claim(words []string) {
	c := lb.Claim{Address: r.addresses(words[1])[0], State: lb.ClaimState(words[2]), Since: epoch}
	r.each(words[3:], func(key, value string) bool {
		switch key {
		case "epoch":
			c.Epoch = uint64(r.number(value))
		case "since":
			c.Since = epoch.Add(time.Duration(r.number(value)) * time.Second)
		case "offer":
			c.Offer = value
		default:
			return false
		}
		return true
	})
	i := slices.IndexFunc(r.Speakers, func(s lb.Speaker) bool { return s.Node == words[0] })
	if i < 0 {
		r.fail(errors.New("there is no such node"))
		return
	}
	r.Speakers[i].Claims = append(r.Speakers[i].Claims, c)
}
