package access

import (
	"regexp"
	"strings"
)

// Parts of paths that are names of resources. Everything else may be an id, a name or
// a tag, and has no place in a metric.
var resourceWords = func() map[string]bool {
	words := map[string]bool{}
	for w := range strings.FieldsSeq(`
		loadbalancers listeners pools members healthmonitors l7policies rules quotas defaults providers flavors
		flavorprofiles flavor_capabilities availabilityzones availabilityzoneprofiles availability_zone_capabilities
		status stats failover amphorae octavia cascade
		networks subnets ports floatingips routers security-groups security-group-rules subnetpools address-scopes
		extensions tags agents trunks network-ip-availabilities add_router_interface remove_router_interface
		add_allowed_addresses remove_allowed_addresses port_forwardings dhcp-agents l3-agents
		auth tokens catalog projects users application_credentials OS-TRUST trusts roles domains
		servers flavors images keypairs os-interface os-server-groups os-volume_attachments action detail limits
		secrets containers vips health_monitors lb lbaas lbaas/loadbalancers`) {
		words[w] = true
	}
	return words
}()

var versionWord = regexp.MustCompile(`^v\d+(\.\d+)*$`)

// resource is the template of a path below a service's endpoint: "loadbalancers/{id}".
// The version, and Octavia's prefix lbaas, are left out.
func resource(path string) string {
	parts := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if len(parts) > 0 && versionWord.MatchString(parts[0]) {
		parts = parts[1:]
	}
	if len(parts) > 1 && parts[0] == "lbaas" {
		parts = parts[1:]
	}
	if len(parts) == 0 {
		return "versions"
	}
	out := make([]string, 0, 6)
	for i, p := range parts {
		switch {
		case i == 6: // no path of ours is as long
			return strings.Join(append(out, "..."), "/")
		case resourceWords[strings.TrimSuffix(p, ".json")]:
			out = append(out, strings.TrimSuffix(p, ".json"))
		default:
			out = append(out, "{id}")
		}
	}
	return strings.Join(out, "/")
}
