package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

type member struct {
	element
	pool           *pool
	address        netip.Addr
	port           int
	weight         int
	backup         bool
	subnetID       string
	monitorAddress string
	monitorPort    *int
}

type memberPOST struct {
	basics
	Address        field[string]
	ProtocolPort   field[int] `json:"protocol_port"`
	Weight         field[int]
	Backup         field[bool]
	SubnetID       field[string] `json:"subnet_id"`
	MonitorAddress field[string] `json:"monitor_address"`
	MonitorPort    field[int]    `json:"monitor_port"`
}

// memberPUT has what can be changed: address, port and subnet are the member.
type memberPUT struct {
	basics
	Weight         field[int]
	Backup         field[bool]
	MonitorAddress field[string] `json:"monitor_address"`
	MonitorPort    field[int]    `json:"monitor_port"`
}

func (m *member) renderMember() object {
	var monitorPort any
	if m.monitorPort != nil {
		monitorPort = *m.monitorPort
	}
	o := m.render(map[string]any{
		"address": m.address.String(), "protocol_port": m.port, "weight": m.weight, "backup": m.backup, "subnet_id": orNil(m.subnetID),
		"monitor_address": orNil(m.monitorAddress), "monitor_port": monitorPort,
	})
	delete(o.attributes, "description")
	return o
}

func (c *Cloud) memberFor(r *request) (*member, error) {
	p, err := c.poolFor(r, r.PathValue("pool"))
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	for _, m := range p.members {
		if m.id == id {
			return m, nil
		}
	}
	return nil, missing("Member", id)
}

func (c *Cloud) listMembers(r *request) (reply, error) {
	p, err := c.poolFor(r, r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	var all []object
	for _, m := range p.members {
		all = append(all, c.hideNew(m.renderMember()))
	}
	return c.listOctavia(r, "members", all, nil)
}

func (c *Cloud) showMember(r *request) (reply, error) {
	m, err := c.memberFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "member", c.hideNew(m.renderMember()))
}

// lockPool checks that something below a pool can be changed.
func lockPool(p *pool) error {
	if p.provisioning != active {
		return immutable("Pool", p.id)
	}
	return lock(p.balancer)
}

// newMember checks a wish and makes a member of it, which is not in its pool yet.
func (c *Cloud) newMember(p *pool, want memberPOST) (*member, error) {
	address, err := netip.ParseAddr(want.Address.value)
	if err != nil {
		return nil, invalidInput("address", want.Address.value, "Value should be IPv4 or IPv6 format")
	}
	if n := want.ProtocolPort.value; n < 1 || n > 65535 {
		return nil, invalidInput("protocol_port", strconv.Itoa(n), "Value should be greater or equal to 1")
	}
	if w := want.Weight.or(1); w < 0 || w > 256 {
		return nil, invalidInput("weight", strconv.Itoa(w), "Value should be lower or equal to 256")
	}
	if address.String() == "169.254.169.254" {
		return nil, invalidOption(address.String(), "member address")
	}
	m := &member{
		element: c.newElement(p.project, want.basics), pool: p, address: address, port: want.ProtocolPort.value, weight: want.Weight.or(1),
		backup: want.Backup.value, subnetID: want.SubnetID.value, monitorAddress: want.MonitorAddress.value,
	}
	if want.MonitorPort.given() {
		m.monitorPort = &want.MonitorPort.value
	}
	m.balancer, m.operating = p.balancer, noMonitor
	if p.monitor != nil {
		m.operating = offline
	}
	return m, nil
}

func (p *pool) member(address netip.Addr, port int) *member {
	for _, m := range p.members {
		if m.address == address && m.port == port {
			return m
		}
	}
	return nil
}

func duplicateMember(m *member) error {
	return conflict("", fmt.Sprintf("Another member on this pool is already using ip %s on protocol_port %d", m.address, m.port))
}

func (c *Cloud) knownSubnet(id string) error {
	if id != "" && c.findSubnet(id) == nil {
		return &refusal{http.StatusBadRequest, "", fmt.Sprintf("Subnet %s not found.", id)}
	}
	return nil
}

func (c *Cloud) createMember(r *request) (reply, error) {
	var in struct{ Member memberPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	p, err := c.poolFor(r, r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	m, err := c.newMember(p, in.Member)
	if err != nil {
		return reply{}, err
	}
	if err := c.knownSubnet(m.subnetID); err != nil {
		return reply{}, err
	}
	if c.lbQuotaMet(c.findProject(p.project, ""), "member", 1) {
		return reply{}, quotaMet("Member")
	}
	if err := lockPool(p); err != nil {
		return reply{}, err
	}
	if p.member(m.address, m.port) != nil {
		return reply{}, duplicateMember(m)
	}
	if err := driverMember(p.balancer, m); err != nil {
		return reply{}, err
	}
	p.members = append(p.members, m)
	c.begin(r, p.balancer, Change{Kind: "update", Object: "member"}, work{changed: []*element{&m.element}, with: p.locked(), heals: true})
	answer, err := show(r, "member", c.hideNew(m.renderMember()))
	answer.status = http.StatusCreated
	return answer, err
}

// locked are the pool and its listeners.
func (p *pool) locked() []*element { return append(p.above(), &p.element) }

func (c *Cloud) updateMember(r *request) (reply, error) {
	var in struct{ Member memberPUT }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	m, err := c.memberFor(r)
	if err != nil {
		return reply{}, err
	}
	if err := lockPool(m.pool); err != nil {
		return reply{}, err
	}
	m.change(in.Member, r.now)
	c.begin(r, m.balancer, Change{Kind: "update", Object: "member"}, work{changed: []*element{&m.element}, with: m.pool.locked(), heals: true})
	return show(r, "member", c.hideNew(m.renderMember()))
}

func (m *member) change(want memberPUT, now time.Time) {
	m.apply(want.basics)
	if want.Weight.set {
		m.weight = want.Weight.or(1)
	}
	want.Backup.update(&m.backup)
	want.MonitorAddress.update(&m.monitorAddress)
	if want.MonitorPort.set {
		m.monitorPort = nil
		if want.MonitorPort.given() {
			m.monitorPort = &want.MonitorPort.value
		}
	}
	m.provisioning, m.updated = pendingUpdate, now
}

func (c *Cloud) deleteMember(r *request) (reply, error) {
	m, err := c.memberFor(r)
	if err != nil {
		return reply{}, err
	}
	if err := lockPool(m.pool); err != nil {
		return reply{}, err
	}
	m.provisioning, m.updated = pendingDelete, r.now
	c.begin(r, m.balancer, Change{Kind: "update", Object: "member"}, work{
		changed: []*element{&m.element}, with: m.pool.locked(), heals: true, done: func(time.Time) { m.pool.removeMember(m) }})
	return reply{status: http.StatusNoContent}, nil
}

func (p *pool) removeMember(m *member) {
	p.members = slices.DeleteFunc(p.members, func(other *member) bool { return other == m })
}

// replaceMembers is the batch. It locks whenever there are members in the request or
// in the pool, even if nothing would change: the only request without effect is an
// empty one to an empty pool (api/v2/controllers/member.py, MembersController.put,
// where every known member counts as updated).
func (c *Cloud) replaceMembers(r *request) (reply, error) {
	var in struct{ Members []memberPOST }
	if err := decodeOctavia(r, &in); err != nil {
		return reply{}, err
	}
	p, err := c.poolFor(r, r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	additive := c.octaviaHas(withAdditive) && slices.Contains([]string{"1", "t", "true", "on", "y", "yes"}, strings.ToLower(r.query.Get("additive_only")))
	plan, err := c.planMembers(p, in.Members)
	if err != nil {
		return reply{}, err
	}
	if err := lockPool(p); err != nil {
		return reply{}, err
	}
	if additive {
		plan.gone = nil
	}
	if len(plan.added)+len(plan.kept)+len(plan.gone) == 0 {
		return reply{status: http.StatusAccepted}, nil
	}
	if more := len(plan.added) - len(plan.gone); more > 0 && c.lbQuotaMet(c.findProject(p.project, ""), "member", more) {
		return reply{}, quotaMet("Member")
	}
	w := work{with: p.locked(), heals: true, done: func(time.Time) {
		for _, m := range plan.gone {
			p.removeMember(m)
		}
	}}
	for i, m := range plan.added {
		if slices.ContainsFunc(plan.added[:i], func(other *member) bool { return other.address == m.address && other.port == m.port }) {
			return reply{}, duplicateMember(m)
		}
		if err := c.knownSubnet(m.subnetID); err != nil {
			return reply{}, err
		}
		if err := driverMember(p.balancer, m); err != nil {
			return reply{}, err
		}
	}
	p.members = append(p.members, plan.added...)
	for _, m := range plan.added {
		w.changed = append(w.changed, &m.element)
	}
	for _, k := range plan.kept {
		k.member.change(k.want.update(), r.now)
		w.changed = append(w.changed, &k.member.element)
	}
	for _, m := range plan.gone {
		m.provisioning, m.updated = pendingDelete, r.now
		w.changed = append(w.changed, &m.element)
	}
	c.begin(r, p.balancer, Change{Kind: "update", Object: "members"}, w)
	return reply{status: http.StatusAccepted}, nil
}

// batch is what a batch request does to a pool.
type batch struct {
	added []*member
	kept  []keptMember
	gone  []*member
}

type keptMember struct {
	member *member
	want   memberPOST
}

func (c *Cloud) planMembers(p *pool, wanted []memberPOST) (batch, error) {
	var plan batch
	for _, want := range wanted {
		m, err := c.newMember(p, want)
		if err != nil {
			return plan, err
		}
		if old := p.member(m.address, m.port); old != nil {
			plan.kept = append(plan.kept, keptMember{old, want})
		} else {
			plan.added = append(plan.added, m)
		}
	}
	for _, m := range p.members {
		if !slices.ContainsFunc(plan.kept, func(k keptMember) bool { return k.member == m }) {
			plan.gone = append(plan.gone, m)
		}
	}
	return plan, nil
}

// update is the part of a batch's member that changes a known one. The batch has the
// defaults of a creation: a member that is named without a weight gets weight 1.
func (want memberPOST) update() memberPUT {
	put := memberPUT{basics: want.basics, Weight: want.Weight, Backup: want.Backup, MonitorAddress: want.MonitorAddress, MonitorPort: want.MonitorPort}
	put.Weight.set, put.Backup.set, put.MonitorAddress.set, put.MonitorPort.set = true, true, true, true
	put.MonitorPort.null = !want.MonitorPort.given()
	put.Weight.null = !want.Weight.given()
	put.AdminStateUp = field[bool]{set: true, value: want.AdminStateUp.or(true)}
	return put
}
