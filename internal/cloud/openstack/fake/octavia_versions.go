package fake

import (
	"fmt"
	"strconv"
	"strings"
)

const newestOctavia = "v2.26"

// Minor versions that brought something a client can miss (api/root_controller.py).
const (
	withTags           = 5
	withFlavors        = 6
	withAdditive       = 11
	withCIDRs          = 12
	withSourceIPPort   = 13
	withZones          = 14
	withProxyV2        = 22
	withSCTP           = 23
	withAdditionalVIPs = 26
)

func minor(version string) int {
	_, text, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(text) // zero for what is no version
	return n
}

func (c *Cloud) octaviaHas(version int) bool { return minor(c.options.OctaviaVersion) >= version }

func (c *Cloud) octaviaVersions(*request) (reply, error) {
	versions := []any{}
	for n := range minor(c.options.OctaviaVersion) + 1 {
		status := "SUPPORTED"
		if n == minor(c.options.OctaviaVersion) {
			status = "CURRENT"
		}
		versions = append(versions, map[string]any{
			"id": fmt.Sprintf("v2.%d", n), "status": status, "updated": "2016-12-11T00:00:00Z",
			"links": []any{map[string]any{"href": c.base + loadBalancerPrefix + "/v2", "rel": "self"}}})
	}
	return reply{body: map[string]any{"versions": versions}}, nil
}

// unknownTo refuses an attribute that an older Octavia has never heard of.
func unknownTo(name string) error {
	return badRequest("", "Unknown attribute for argument load_balancer.loadbalancer: "+name)
}

func (c *Cloud) checkVersions(want balancerPOST) error {
	for _, a := range []struct {
		name  string
		set   bool
		since int
	}{
		{"tags", want.Tags.set, withTags}, {"flavor_id", want.FlavorID.set, withFlavors},
		{"availability_zone", want.AvailabilityZone.set, withZones}, {"additional_vips", want.AdditionalVIPs.set, withAdditionalVIPs},
	} {
		if a.set && !c.octaviaHas(a.since) {
			return unknownTo(a.name)
		}
	}
	return nil
}

func (c *Cloud) checkListenerVersion(want listenerPOST) error {
	switch {
	case want.AllowedCIDRs.set && !c.octaviaHas(withCIDRs):
		return unknownTo("allowed_cidrs")
	case want.Tags.set && !c.octaviaHas(withTags):
		return unknownTo("tags")
	case want.Protocol.value == "SCTP" && !c.octaviaHas(withSCTP):
		return invalidInput("protocol", "SCTP", "Value should be one of: HTTP, HTTPS, TCP, TERMINATED_HTTPS, UDP")
	}
	return nil
}

func (c *Cloud) checkPoolVersion(want poolPOST) error {
	switch {
	case want.Protocol.value == "PROXYV2" && !c.octaviaHas(withProxyV2), want.Protocol.value == "SCTP" && !c.octaviaHas(withSCTP):
		return invalidInput("protocol", want.Protocol.value, "Value should be one of: HTTP, HTTPS, PROXY, TCP, UDP")
	case want.LBAlgorithm.value == "SOURCE_IP_PORT" && !c.octaviaHas(withSourceIPPort):
		return invalidInput("lb_algorithm", "SOURCE_IP_PORT", "Value should be one of: LEAST_CONNECTIONS, ROUND_ROBIN, SOURCE_IP")
	case want.Tags.set && !c.octaviaHas(withTags):
		return unknownTo("tags")
	}
	return nil
}

// attributeSince are the attributes that came after v2.0.
var attributeSince = map[string]int{
	"tags": withTags, "flavor_id": withFlavors, "allowed_cidrs": withCIDRs, "availability_zone": withZones, "additional_vips": withAdditionalVIPs,
}

// hideNew takes away what an older Octavia does not tell.
func (c *Cloud) hideNew(o object) object {
	for name, since := range attributeSince {
		if !c.octaviaHas(since) {
			delete(o.attributes, name)
		}
	}
	return o
}
