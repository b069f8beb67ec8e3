package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/lab"
	"fairlead.dev/fairlead/lab/openstack"
)

// look shows what there is for the Service now, and checks it.
func (s *cloudStory) look(ctx context.Context) error {
	s.chapter("What appeared in the cloud")
	if err := s.settled(ctx); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"loadbalancer", "list", "-c", "name", "-c", "vip_address", "-c", "provisioning_status", "-c", "provider"},
		{"floating", "ip", "list", "-c", "Floating IP Address", "-c", "Fixed IP Address"},
	} {
		if err := s.openstack(ctx, args...); err != nil {
			return err
		}
	}
	return s.askMembers(ctx)
}

// askMembers does what the load balancer would do: it asks every member.
func (s *cloudStory) askMembers(ctx context.Context) error {
	s.say("Nothing listens on %s here, since no load balancer's data path runs. What it would connect to answers:", s.found.Address)
	c, err := s.contents(ctx)
	if err != nil {
		return err
	}
	l, err := s.find(c)
	if err != nil {
		return err
	}
	for _, m := range l.Tree[0].Pools[0].Members {
		url := "http://" + netip.AddrPortFrom(m.Address, uint16(m.Port)).String()
		out, err := s.lab.Client().Output(ctx, "curl", "-sS", "--max-time", "5", url)
		if err != nil {
			return fmt.Errorf("a member does not answer: %w", err)
		}
		title, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		s.say("client$ curl %s\n  %s", url, title)
	}
	return nil
}

func (s *cloudStory) changePorts(ctx context.Context) error {
	s.chapter("Another port on the same Service: the same load balancer, the same address")
	const ports = `{"spec":{"ports":[{"name":"http","port":80,"targetPort":80,"protocol":"TCP"},{"name":"alt","port":8080,"targetPort":80,"protocol":"TCP"}]}}`
	// A strategic merge patch joins ports by number, and keeps the unnamed one of 80.
	if _, err := s.kubectl(ctx, "", "patch", "service", "nginxservice", "-p", ports); err != nil {
		return err
	}
	return s.settled(ctx)
}

func (s *cloudStory) addNode(ctx context.Context) error {
	s.chapter("A fourth node joins the cluster")
	node, err := s.lab.AddNode(ctx)
	if err != nil {
		return err
	}
	if err := s.addPort(ctx, node); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "get", "nodes"); err != nil {
		return err
	}
	return s.settled(ctx)
}

// settled waits until the cloud has what the Service needs, and shows it.
func (s *cloudStory) settled(ctx context.Context) error {
	began := time.Now()
	var c openstack.Contents
	err := eventually(ctx, 2*time.Minute, "the cloud has what the Service needs", func() (err error) {
		if c, err = s.contents(ctx); err != nil {
			return err
		}
		return s.check(ctx, c)
	})
	fmt.Fprint(s.Out, indent(c.String()))
	if err != nil {
		return err
	}
	s.say("Checked %.1f s later: one load balancer, ACTIVE; a listener for each port; the node port of %d nodes behind it;\n"+
		"floating IP %s leads to it; those nodes let the node ports in.", time.Since(began).Seconds(), len(s.lab.Nodes()), s.found.Address)
	return nil
}

// contents are what there is in the cloud now and was not before.
func (s *cloudStory) contents(ctx context.Context) (openstack.Contents, error) {
	c, err := s.cloud.Contents(ctx)
	return c.Without(s.before), err
}

// find is the load balancer of the Service, the same one in all chapters.
func (s *cloudStory) find(c openstack.Contents) (openstack.LoadBalancer, error) {
	const name = "kube_service_kubernetes_default_nginxservice"
	var found []openstack.LoadBalancer
	for _, l := range c.LoadBalancers {
		if l.Name == name {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return openstack.LoadBalancer{}, fmt.Errorf("%d load balancers are called %s", len(found), name)
	}
	if s.balancer == "" {
		s.balancer = found[0].ID
	}
	if found[0].ID != s.balancer {
		return openstack.LoadBalancer{}, fmt.Errorf("load balancer %s took the place of %s", found[0].ID, s.balancer)
	}
	return found[0], nil
}

// check compares the cloud with the Service and the nodes.
func (s *cloudStory) check(ctx context.Context, c openstack.Contents) error {
	before := s.found.Address
	if err := s.readAddress(ctx); err != nil {
		return err
	}
	if s.found.Address != before {
		return fmt.Errorf("the address changed from %s to %s", before, s.found.Address)
	}
	l, err := s.find(c)
	if err != nil {
		return err
	}
	if l.Status != "ACTIVE" {
		return fmt.Errorf("it is %s", l.Status)
	}
	ports, err := s.ports(ctx)
	if err != nil {
		return err
	}
	if err := sendsTo(l, ports, s.lab.Nodes()); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.FloatingIPs, func(f openstack.FloatingIP) bool { return f.Address == before && f.Port == l.VIPPort }) {
		return fmt.Errorf("floating IP %s does not lead to it", before)
	}
	return letIn(c, ports, s.lab.Nodes())
}

// ports are the node ports of the Service, by port.
func (s *cloudStory) ports(ctx context.Context) (map[int]int, error) {
	out, err := s.lab.Kubectl(ctx, "get", "service", "nginxservice", "-o", "jsonpath={range .spec.ports[*]}{.port} {.nodePort} {end}")
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(out)
	ports := make(map[int]int)
	for i := 0; i+1 < len(fields); i += 2 {
		port, err := strconv.Atoi(fields[i])
		if err != nil {
			return nil, err
		}
		if ports[port], err = strconv.Atoi(fields[i+1]); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

func sendsTo(l openstack.LoadBalancer, ports map[int]int, nodes []*lab.Host) error {
	if len(l.Tree) != len(ports) {
		return fmt.Errorf("%d listeners for %d ports", len(l.Tree), len(ports))
	}
	for _, x := range l.Tree {
		if len(x.Pools) != 1 || len(x.Pools[0].Members) != len(nodes) {
			return fmt.Errorf("listener %d does not send to %d nodes", x.Port, len(nodes))
		}
		for _, n := range nodes {
			if !slices.ContainsFunc(x.Pools[0].Members, func(m openstack.Member) bool { return m.Address == n.IP4() && m.Port == ports[x.Port] }) {
				return fmt.Errorf("listener %d does not send to %s, port %d", x.Port, n.Name(), ports[x.Port])
			}
		}
	}
	return nil
}

func letIn(c openstack.Contents, ports map[int]int, nodes []*lab.Host) error {
	for port, nodePort := range ports {
		for _, n := range nodes {
			opens := func(g openstack.SecurityGroup) bool {
				return slices.Contains(g.Nodes, n.Name()) && slices.ContainsFunc(g.Rules, func(r openstack.Rule) bool {
					return r.From != nil && r.To != nil && *r.From <= nodePort && nodePort <= *r.To
				})
			}
			if !slices.ContainsFunc(c.SecurityGroups, opens) {
				return fmt.Errorf("%s does not let in node port %d of port %d", n.Name(), nodePort, port)
			}
		}
	}
	return nil
}

// remove deletes the Service. Its last object in the cloud goes before it does.
func (s *cloudStory) remove(ctx context.Context) error {
	s.chapter("The Service is deleted")
	began := time.Now()
	if _, err := s.kubectl(ctx, "", "delete", "service", "nginxservice", "--timeout=120s"); err != nil {
		return err
	}
	s.found.Gone = time.Since(began)
	c, err := s.contents(ctx)
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"loadbalancer", "list"}, {"floating", "ip", "list"}} {
		if err := s.openstack(ctx, args...); err != nil {
			return err
		}
	}
	if !c.Empty() {
		fmt.Fprint(s.Out, indent(c.String()))
		return errors.New("the Service is gone, and something of it is left in the cloud")
	}
	s.say("After %.1f s the Service is gone, and nothing of it is left in the cloud.", s.found.Gone.Seconds())
	return nil
}
