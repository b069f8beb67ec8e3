package fake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

type securityGroup struct {
	standard
	rules []*securityRule
}

type securityRule struct {
	standard
	group                          *securityGroup
	direction, ethertype, protocol string
	portMin, portMax               *int
	prefix, remoteGroup            string
}

func (c *Cloud) addGroup(project, name, description string) *securityGroup {
	g := &securityGroup{standard: c.newStandard(project, name, description)}
	for _, ethertype := range []string{"IPv4", "IPv6"} {
		g.rules = append(g.rules, &securityRule{standard: c.newStandard(project, "", ""), group: g, direction: "egress", ethertype: ethertype})
	}
	c.groups = append(c.groups, g)
	return g
}

// defaultGroup makes the project's default group when it is first needed.
func (c *Cloud) defaultGroup(project string) *securityGroup {
	for _, g := range c.groups {
		if g.project == project && g.name == "default" {
			return g
		}
	}
	g := c.addGroup(project, "default", "Default security group")
	for _, ethertype := range []string{"IPv4", "IPv6"} {
		g.rules = append(g.rules, &securityRule{
			standard: c.newStandard(project, "", ""), group: g, direction: "ingress", ethertype: ethertype, remoteGroup: g.id})
	}
	return g
}

// groupsFor checks the groups that a port is to have; a port without any wish gets the
// default group.
func (c *Cloud) groupsFor(r *request, wanted field[[]string]) ([]string, error) {
	if !wanted.given() {
		return []string{c.defaultGroup(r.token.project.id).id}, nil
	}
	for _, id := range wanted.value {
		if g := c.findGroup(id); g == nil || !r.visible(g.project) {
			return nil, groupNotFound(id)
		}
	}
	groups := slices.Clone(wanted.value)
	slices.Sort(groups) // Neutron gives them in no order of the request
	return slices.Compact(groups), nil
}

func (c *Cloud) findGroup(id string) *securityGroup {
	for _, g := range c.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

func groupNotFound(id string) error {
	return notFound("SecurityGroupNotFound", fmt.Sprintf("Security group %s does not exist", id))
}

func (c *Cloud) groupFor(r *request) (*securityGroup, error) {
	id := r.PathValue("id")
	if g := c.findGroup(id); g != nil && r.visible(g.project) {
		return g, nil
	}
	return nil, groupNotFound(id)
}

func (rule *securityRule) renderRule() object {
	number := func(n *int) any {
		if n == nil {
			return nil
		}
		return *n
	}
	o := rule.render(map[string]any{
		"security_group_id": rule.group.id, "direction": rule.direction, "ethertype": rule.ethertype, "protocol": orNil(rule.protocol),
		"port_range_min": number(rule.portMin), "port_range_max": number(rule.portMax), "remote_ip_prefix": orNil(rule.prefix),
		"normalized_cidr": orNil(rule.prefix), "remote_group_id": orNil(rule.remoteGroup), "remote_address_group_id": nil,
	})
	delete(o.attributes, "name")
	return o
}

func (g *securityGroup) renderGroup() object {
	rules := []any{}
	for _, rule := range g.rules {
		rules = append(rules, rule.renderRule().attributes)
	}
	return g.render(map[string]any{"security_group_rules": rules, "stateful": true})
}

func (c *Cloud) listGroups(r *request) (reply, error) {
	c.defaultGroup(r.token.project.id)
	var all []object
	for _, g := range c.groups {
		if r.visible(g.project) {
			all = append(all, g.renderGroup())
		}
	}
	return c.listNeutron(r, "security_groups", all, nil)
}

func (c *Cloud) showGroup(r *request) (reply, error) {
	g, err := c.groupFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "security_group", g.renderGroup())
}

type groupRequest struct {
	SecurityGroup struct {
		Name, Description field[string]
		ProjectID         field[string] `json:"project_id"`
		TenantID          field[string] `json:"tenant_id"`
		Stateful          field[bool]
	} `json:"security_group"`
}

func (c *Cloud) createGroup(r *request) (reply, error) {
	var in groupRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	c.defaultGroup(r.token.project.id)
	if in.SecurityGroup.Name.value == "default" {
		return reply{}, conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	used := c.usage(r.token.project)
	if err := c.checkQuota(r.token.project, "security_group", used["security_group"], 1); err != nil {
		return reply{}, err
	}
	g := c.addGroup(r.token.project.id, in.SecurityGroup.Name.value, in.SecurityGroup.Description.value)
	answer, err := show(r, "security_group", g.renderGroup())
	answer.status = http.StatusCreated
	return answer, err
}

func (c *Cloud) updateGroup(r *request) (reply, error) {
	g, err := c.groupFor(r)
	if err != nil {
		return reply{}, err
	}
	var in groupRequest
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	if err := g.checkRevision(r); err != nil {
		return reply{}, err
	}
	if g.name == "default" && in.SecurityGroup.Name.set {
		return reply{}, conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
	}
	in.SecurityGroup.Name.update(&g.name)
	in.SecurityGroup.Description.update(&g.description)
	c.touch(&g.standard, r)
	return show(r, "security_group", g.renderGroup())
}

func (c *Cloud) deleteGroup(r *request) (reply, error) {
	g, err := c.groupFor(r)
	if err != nil {
		return reply{}, err
	}
	if err := g.checkRevision(r); err != nil {
		return reply{}, err
	}
	if slices.ContainsFunc(c.ports, func(p *port) bool { return slices.Contains(p.groups, g.id) }) {
		return reply{}, conflict("SecurityGroupInUse", fmt.Sprintf("Security Group %s in use.", g.id))
	}
	if g.name == "default" && !r.token.admin() {
		return reply{}, conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	c.removeGroup(g)
	return reply{status: http.StatusNoContent}, nil
}

func (c *Cloud) removeGroup(g *securityGroup) {
	c.groups = slices.DeleteFunc(c.groups, func(h *securityGroup) bool { return h == g })
}

type ruleRequest struct {
	SecurityGroupID      string `json:"security_group_id"`
	Direction            string
	Ethertype            string
	Protocol             field[any]
	PortRangeMin         field[int]    `json:"port_range_min"`
	PortRangeMax         field[int]    `json:"port_range_max"`
	RemoteIPPrefix       field[string] `json:"remote_ip_prefix"`
	RemoteGroupID        field[string] `json:"remote_group_id"`
	RemoteAddressGroupID field[string] `json:"remote_address_group_id"`
	Description          field[string]
	ProjectID            field[string] `json:"project_id"`
	TenantID             field[string] `json:"tenant_id"`
}

// createRules takes one rule or many. Many are all or none.
func (c *Cloud) createRules(r *request) (reply, error) {
	var in struct {
		SecurityGroupRule  *ruleRequest  `json:"security_group_rule"`
		SecurityGroupRules []ruleRequest `json:"security_group_rules"`
	}
	if err := decodeNeutron(r, &in); err != nil {
		return reply{}, err
	}
	wanted := in.SecurityGroupRules
	if in.SecurityGroupRule != nil {
		wanted = []ruleRequest{*in.SecurityGroupRule}
	}
	var rules []*securityRule
	for _, w := range wanted {
		rule, err := c.newRule(r, w)
		if err != nil {
			return reply{}, err
		}
		if len(rules) > 0 && rules[0].group != rule.group {
			return reply{}, badRequest("SecurityGroupNotSingleGroupRules", "Only allowed to update rules for one security profile at a time")
		}
		rules = append(rules, rule)
	}
	if len(rules) == 0 {
		return reply{}, badRequest("HTTPBadRequest", "Unable to find 'security_group_rule' in request body")
	}
	if err := c.checkQuota(r.token.project, "security_group_rule", c.usage(r.token.project)["security_group_rule"], len(rules)); err != nil {
		return reply{}, err
	}
	seen := map[string]bool{}
	for _, rule := range rules {
		if seen[rule.key()] {
			return reply{}, conflict("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")
		}
		seen[rule.key()] = true
	}
	group := rules[0].group
	for _, old := range group.rules {
		if seen[old.key()] {
			return reply{}, conflict("SecurityGroupRuleExists", fmt.Sprintf("Security group rule already exists. Rule id is %s.", old.id))
		}
	}
	group.rules = append(group.rules, rules...)
	c.touch(&group.standard, r)
	if in.SecurityGroupRule != nil {
		answer, err := show(r, "security_group_rule", rules[0].renderRule())
		answer.status = http.StatusCreated
		return answer, err
	}
	rendered := []any{}
	for _, rule := range rules {
		rendered = append(rendered, rule.renderRule().attributes)
	}
	return reply{status: http.StatusCreated, body: map[string]any{"security_group_rules": rendered}}, nil
}

func (c *Cloud) newRule(r *request, w ruleRequest) (*securityRule, error) {
	g := c.findGroup(w.SecurityGroupID)
	if g == nil || !r.visible(g.project) {
		return nil, groupNotFound(w.SecurityGroupID)
	}
	rule := &securityRule{
		standard: c.newStandard(r.token.project.id, "", w.Description.value), group: g, direction: w.Direction, ethertype: w.Ethertype,
		prefix: w.RemoteIPPrefix.value, remoteGroup: w.RemoteGroupID.value,
	}
	if rule.ethertype == "" {
		rule.ethertype = "IPv4"
	}
	if w.Protocol.given() {
		rule.protocol = strings.ToLower(fmt.Sprint(w.Protocol.value))
		if rule.protocol == "any" {
			rule.protocol = ""
		}
	}
	if w.PortRangeMin.given() {
		rule.portMin = &w.PortRangeMin.value
	}
	if w.PortRangeMax.given() {
		rule.portMax = &w.PortRangeMax.value
	}
	return rule, rule.check()
}

func (rule *securityRule) check() error {
	if rule.direction != "ingress" && rule.direction != "egress" {
		return badRequest("HTTPBadRequest", fmt.Sprintf("Invalid input for direction. Reason: '%s' is not in ('ingress', 'egress').", rule.direction))
	}
	if rule.portMin != nil || rule.portMax != nil {
		if rule.protocol == "" {
			return badRequest("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
		}
		if rule.protocol != "icmp" && rule.protocol != "ipv6-icmp" && (rule.portMin == nil || rule.portMax == nil || *rule.portMin > *rule.portMax) {
			return badRequest("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
		}
		// The whole range is no range (_make_canonical_port_range).
		if rule.portMin != nil && rule.portMax != nil && *rule.portMin == 1 && *rule.portMax == 65535 {
			rule.portMin, rule.portMax = nil, nil
		}
	}
	if rule.prefix == "" {
		return nil
	}
	if rule.remoteGroup != "" {
		return badRequest("SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix or remote_group_id may be provided.")
	}
	if !strings.Contains(rule.prefix, "/") {
		if a, err := netip.ParseAddr(rule.prefix); err == nil {
			rule.prefix += "/" + strconv.Itoa(a.BitLen())
		}
	}
	prefix, err := netip.ParsePrefix(rule.prefix)
	if err != nil {
		return badRequest("HTTPBadRequest", fmt.Sprintf("Invalid input for remote_ip_prefix. Reason: '%s' is not a valid IP subnet.", rule.prefix))
	}
	if prefix.Addr().Is6() != (rule.ethertype == "IPv6") {
		return badRequest("SecurityGroupRuleParameterConflict", fmt.Sprintf("Conflicting value ethertype %s for CIDR %s", rule.ethertype, rule.prefix))
	}
	return nil
}

// protocolNumbers are names for numbers: tcp and 6 are the same rule.
var protocolNumbers = map[string]string{"icmp": "1", "tcp": "6", "udp": "17", "ipv6-icmp": "58", "icmpv6": "58", "sctp": "132"}

// key is what makes two rules the same (securitygroups_db.py, _rule_to_key): to come
// from everywhere is to come from nowhere in particular.
func (rule *securityRule) key() string {
	protocol := rule.protocol
	if n, ok := protocolNumbers[protocol]; ok {
		protocol = n
	}
	prefix := rule.prefix
	if prefix == "0.0.0.0/0" || prefix == "::/0" {
		prefix = ""
	}
	number := func(n *int) string {
		if n == nil {
			return "+"
		}
		return strconv.Itoa(*n)
	}
	return strings.Join([]string{rule.group.id, rule.direction, rule.ethertype, protocol, number(rule.portMin), number(rule.portMax), prefix, rule.remoteGroup}, "_")
}

func (c *Cloud) listRules(r *request) (reply, error) {
	var all []object
	for _, g := range c.groups {
		for _, rule := range g.rules {
			if r.visible(g.project) {
				all = append(all, rule.renderRule())
			}
		}
	}
	return c.listNeutron(r, "security_group_rules", all, nil)
}

func (c *Cloud) ruleFor(r *request) (*securityRule, error) {
	id := r.PathValue("id")
	for _, g := range c.groups {
		for _, rule := range g.rules {
			if rule.id == id && r.visible(g.project) {
				return rule, nil
			}
		}
	}
	return nil, notFound("SecurityGroupRuleNotFound", fmt.Sprintf("Security group rule %s does not exist", id))
}

func (c *Cloud) showRule(r *request) (reply, error) {
	rule, err := c.ruleFor(r)
	if err != nil {
		return reply{}, err
	}
	return show(r, "security_group_rule", rule.renderRule())
}

func (c *Cloud) deleteRule(r *request) (reply, error) {
	rule, err := c.ruleFor(r)
	if err != nil {
		return reply{}, err
	}
	c.removeRule(rule)
	c.touch(&rule.group.standard, r)
	return reply{status: http.StatusNoContent}, nil
}

func (c *Cloud) removeRule(rule *securityRule) {
	rule.group.rules = slices.DeleteFunc(rule.group.rules, func(other *securityRule) bool { return other == rule })
}
