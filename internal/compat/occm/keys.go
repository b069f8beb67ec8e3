package occm

import (
	"errors"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// Key is a key of cloud.conf: what the parser reads, and what the reference shows.
type Key struct {
	Section string
	Name    string
	// Default is the value that counts where the key is missing; empty is none.
	Default string
	// Example is a value that changes something.
	Example  string
	Meaning  string
	Honoured Honoured
	// Remark says what is different, or why the key has no effect.
	Remark string
	Secret bool

	many bool // the key may be there more than once
	read func(target, entry) error
}

// Honoured tells how far a key or annotation means what it means to OCCM.
type Honoured string

// The degrees.
const (
	Yes         Honoured = "yes"
	Differently Honoured = "differently"
	No          Honoured = "no"
)

// Keys are all keys of cloud.conf, in the order of the reference.
func Keys() []Key { return slices.Clone(keys) }

const (
	sectionGlobal       = "Global"
	sectionLoadBalancer = "LoadBalancer"
	sectionClass        = "LoadBalancerClass"
	sectionNetworking   = "Networking"
	sectionRoute        = "Route"
	sectionMetadata     = "Metadata"
)

type section struct {
	name   string
	named  bool   // [name "x"]
	unused string // why nothing in it counts
}

var sections = []section{
	{name: sectionGlobal}, {name: sectionLoadBalancer}, {name: sectionClass, named: true},
	{name: sectionNetworking}, {name: sectionRoute}, {name: sectionMetadata},
	{name: "BlockStorage", unused: "is for volumes: the Cinder CSI driver reads it"},
	{name: "KeyManager", unused: "is for encryption at rest: the Barbican KMS plugin reads it"},
}

func sectionNames() []string {
	var out []string
	for _, s := range sections {
		out = append(out, s.name)
	}
	return out
}

// target is what the keys of a section write to.
type target struct {
	*Config
	balancer *LoadBalancer
	class    *Class
}

// doubt is an error that is a Warning only: OCCM would go on.
type doubt string

func (d doubt) Error() string { return string(d) }

type reading = func(target, entry) error

// taking reads a value with a function of value.go.
func taking[T any](parse func(string) (T, error), at func(target) *T) reading {
	return func(t target, e entry) error {
		if e.blank {
			e.value = "" // most values cannot be read then, and say so
		}
		v, err := parse(e.value)
		if err == nil && e.blank {
			err = errors.New("a value after =, or leave the key out")
		}
		if err == nil {
			*at(t) = v
		}
		return err
	}
}

func text(at func(target) *string) reading {
	return taking(func(s string) (string, error) { return s, nil }, at)
}

func id(at func(target) *string) reading { return taking(parseID, at) }

func secret(at func(target) *Secret) reading {
	return taking(func(s string) (Secret, error) { return NewSecret(s), nil }, at)
}

// flag is on where the name stands alone.
func flag(at func(target) *bool) reading {
	return func(t target, e entry) error {
		if e.blank {
			*at(t) = true
			return nil
		}
		return taking(parseBool, at)(t, e)
	}
}

func retries(at func(target) *int) reading {
	return taking(func(s string) (int, error) {
		n, err := parseNumber(strings.TrimSpace(s), 1, 10, "a number from 1 to 10")
		return int(n), err
	}, at)
}

var keys = func() []Key {
	all := slices.Concat(globalKeys, balancerKeys, classKeys, otherKeys)
	for i := range all {
		if all[i].Honoured == "" {
			all[i].Honoured = Yes
		}
		all[i].many = all[i].Section == sectionNetworking && strings.HasSuffix(all[i].Name, "-network-name")
	}
	return all
}()

var globalKeys = []Key{
	{Section: sectionGlobal, Name: "auth-url", Example: "https://keystone.example.org:5000/v3", Meaning: "Keystone's address.",
		read: text(func(t target) *string { return &t.Credentials.AuthURL })},
	{Section: sectionGlobal, Name: "user-id", Example: "7b1d", Meaning: "The user, by id.",
		read: text(func(t target) *string { return &t.Credentials.UserID })},
	{Section: sectionGlobal, Name: "username", Example: "k8s", Meaning: "The user, by name; it needs a domain.",
		read: text(func(t target) *string { return &t.Credentials.Username })},
	{Section: sectionGlobal, Name: "password", Example: "a-password", Meaning: "The user's password.", Secret: true,
		read: secret(func(t target) *Secret { return &t.Credentials.Password })},
	{Section: sectionGlobal, Name: "tenant-id", Example: "b21b", Meaning: "The project, by id.",
		read: text(func(t target) *string { return &t.Credentials.ProjectID })},
	{Section: sectionGlobal, Name: "tenant-name", Example: "shop", Meaning: "The project, by name; it needs a domain.",
		read: text(func(t target) *string { return &t.Credentials.ProjectName })},
	{Section: sectionGlobal, Name: "trust-id", Example: "9f0c", Meaning: "A trust that lends the rights of another user, as Magnum makes one for each cluster.",
		read: text(func(t target) *string { return &t.Credentials.TrustID })},
	{Section: sectionGlobal, Name: "trustee-id", Example: "44aa", Meaning: "The user that a trust was given to; user-id otherwise.",
		read: text(func(t target) *string { return &t.Credentials.TrusteeID })},
	{Section: sectionGlobal, Name: "trustee-password", Example: "a-password", Meaning: "That user's password; password otherwise.", Secret: true,
		read: secret(func(t target) *Secret { return &t.Credentials.TrusteePassword })},
	{Section: sectionGlobal, Name: "domain-id", Example: "default", Meaning: "The domain of user and project, by id, where neither has one of its own.",
		read: text(func(t target) *string { return &t.Credentials.DomainID })},
	{Section: sectionGlobal, Name: "domain-name", Example: "Default", Meaning: "The domain of user and project, by name.",
		read: text(func(t target) *string { return &t.Credentials.DomainName })},
	{Section: sectionGlobal, Name: "tenant-domain-id", Example: "default", Meaning: "The project's domain, by id.",
		read: text(func(t target) *string { return &t.Credentials.ProjectDomainID })},
	{Section: sectionGlobal, Name: "tenant-domain-name", Example: "Default", Meaning: "The project's domain, by name.",
		read: text(func(t target) *string { return &t.Credentials.ProjectDomainName })},
	{Section: sectionGlobal, Name: "user-domain-id", Example: "default", Meaning: "The user's domain, by id.",
		read: text(func(t target) *string { return &t.Credentials.UserDomainID })},
	{Section: sectionGlobal, Name: "user-domain-name", Example: "Default", Meaning: "The user's domain, by name.",
		read: text(func(t target) *string { return &t.Credentials.UserDomainName })},
	{Section: sectionGlobal, Name: "region", Example: "RegionOne", Meaning: "The region whose services are used.",
		read: text(func(t target) *string { return &t.Credentials.Region })},
	{Section: sectionGlobal, Name: "os-endpoint-type", Default: "public", Example: "internal", Meaning: "Which of a service's addresses is used: public, internal or admin.",
		Honoured: Differently, Remark: "publicURL, internalURL and adminURL mean the same.",
		read: taking(parseEndpoint, func(t target) *Endpoint { return &t.Credentials.Endpoint })},
	{Section: sectionGlobal, Name: "ca-file", Example: "/etc/ssl/cloud.pem", Meaning: "Certificates to trust instead of the system's.",
		Honoured: Differently, Remark: "A key of the Secret with the file's name counts before a file on disk.",
		read: text(func(t target) *string { return &t.Credentials.CAFile })},
	{Section: sectionGlobal, Name: "tls-insecure", Default: "false", Example: "true", Meaning: "Accept any certificate. Whoever is in between can read the password.",
		read: insecure},
	{Section: sectionGlobal, Name: "token", Example: "gAAAA-a-token", Meaning: "A token in place of a password. It ends one day, and cannot be renewed.", Secret: true,
		read: secret(func(t target) *Secret { return &t.Credentials.Token })},
	{Section: sectionGlobal, Name: "cert-file", Example: "/etc/ssl/client.pem", Meaning: "A client certificate; it needs key-file.",
		Honoured: Differently, Remark: "As for ca-file.",
		read: text(func(t target) *string { return &t.Credentials.CertFile })},
	{Section: sectionGlobal, Name: "key-file", Example: "/etc/ssl/client.key", Meaning: "The key of cert-file.",
		Honoured: Differently, Remark: "As for ca-file.",
		read: text(func(t target) *string { return &t.Credentials.KeyFile })},
	{Section: sectionGlobal, Name: "use-clouds", Default: "false", Example: "true", Meaning: "Take from a clouds.yaml what [Global] does not say.",
		read: flag(func(t target) *bool { return &t.Credentials.UseClouds })},
	{Section: sectionGlobal, Name: "clouds-file", Example: "/etc/openstack/clouds.yaml", Meaning: "Where that clouds.yaml is.",
		Honoured: Differently, Remark: "As for ca-file. Where it is not set, the Secret's key clouds.yaml is read.",
		read: text(func(t target) *string { return &t.Credentials.CloudsFile })},
	{Section: sectionGlobal, Name: "cloud", Example: "prod", Meaning: "Which entry of clouds.yaml.",
		Honoured: Differently, Remark: "Not needed where there is only one.",
		read: text(func(t target) *string { return &t.Credentials.Cloud })},
	{Section: sectionGlobal, Name: "application-credential-id", Example: "5c0a", Meaning: "An application credential, by id.",
		read: text(func(t target) *string { return &t.Credentials.ApplicationCredentialID })},
	{Section: sectionGlobal, Name: "application-credential-name", Example: "k8s", Meaning: "An application credential, by name; it needs the user.",
		read: text(func(t target) *string { return &t.Credentials.ApplicationCredentialName })},
	{Section: sectionGlobal, Name: "application-credential-secret", Example: "a-secret", Meaning: "The application credential's secret.", Secret: true,
		read: secret(func(t target) *Secret { return &t.Credentials.ApplicationCredentialSecret })},
	unused(sectionGlobal, "secret-name", "credentials come from the Secret that the class names"),
	unused(sectionGlobal, "secret-namespace", "credentials come from the Secret that the class names"),
	unused(sectionGlobal, "kubeconfig-path", "credentials come from the Secret that the class names"),
}

func unused(section, name, remark string) Key {
	return Key{Section: section, Name: name, Example: "x", Honoured: No, Remark: remark}
}

func parseEndpoint(s string) (Endpoint, error) {
	switch e := Endpoint(strings.TrimSuffix(s, "URL")); e {
	case Public, Internal, Admin:
		return e, nil
	case "":
		return Public, nil
	}
	return "", errors.New("public, internal or admin")
}

// insecure is text to OCCM, which looks for one word.
func insecure(t target, e entry) error {
	if e.blank {
		return errors.New("true or false")
	}
	t.Credentials.Insecure = e.value == "true"
	if v, err := parseBool(e.value); e.value != "" && (err != nil || v != t.Credentials.Insecure) {
		return doubt("certificates are verified: only the word true switches that off")
	}
	return nil
}

var classKeys = []Key{
	{Section: sectionClass, Name: "floating-network-id", Example: "f0", Meaning: "As in [LoadBalancer], for Services that name the class.",
		read: id(func(t target) *string { return &t.class.FloatingNetwork })},
	{Section: sectionClass, Name: "floating-subnet-id", Example: "f1", Meaning: "As in [LoadBalancer].",
		read: id(func(t target) *string { return &t.class.FloatingSubnet.ID })},
	{Section: sectionClass, Name: "floating-subnet", Example: "public-*", Meaning: "As in [LoadBalancer].",
		read: taking(parseSubnetName, func(t target) *string { return &t.class.FloatingSubnet.Name })},
	{Section: sectionClass, Name: "floating-subnet-tags", Example: "fast", Meaning: "As in [LoadBalancer].",
		read: text(func(t target) *string { return &t.class.FloatingSubnet.Tags })},
	{Section: sectionClass, Name: "network-id", Example: "n0", Meaning: "As in [LoadBalancer].",
		read: id(func(t target) *string { return &t.class.Network })},
	{Section: sectionClass, Name: "subnet-id", Example: "s0", Meaning: "As in [LoadBalancer].",
		read: id(func(t target) *string { return &t.class.Subnet })},
	{Section: sectionClass, Name: "member-subnet-id", Example: "m0", Meaning: "As in [LoadBalancer].",
		read: id(func(t target) *string { return &t.class.MemberSubnet })},
}

var otherKeys = []Key{
	unused(sectionNetworking, "ipv6-support-disabled", "the addresses of nodes are read from their Node objects"),
	unused(sectionNetworking, "public-network-name", "the addresses of nodes are read from their Node objects"),
	unused(sectionNetworking, "internal-network-name", "the addresses of nodes are read from their Node objects"),
	unused(sectionNetworking, "address-sort-order", "the addresses of nodes are read from their Node objects"),
	unused(sectionRoute, "router-id", "routes between nodes are the cloud controller manager's"),
	unused(sectionMetadata, "search-order", "the metadata service is not asked"),
	{Section: sectionMetadata, Name: "request-timeout", Default: "60s", Example: "2m", Meaning: "How long a call to any service of the cloud may take.",
		read: taking(parseRequestTimeout, func(t target) *time.Duration { return &t.RequestTimeout })},
}

func parseRequestTimeout(s string) (time.Duration, error) {
	if d, err := time.ParseDuration(s); err == nil && d == 0 {
		return defaults().RequestTimeout, nil
	}
	return parseDuration(s)
}

var balancerKeys = []Key{
	{Section: sectionLoadBalancer, Name: "enabled", Default: "true", Example: "false", Meaning: "Whether load balancers are made at all.",
		Honoured: Differently, Remark: "Services of a class with this configuration are refused, and keep what they have.",
		read: flag(func(t target) *bool { return &t.balancer.Enabled })},
	{Section: sectionLoadBalancer, Name: "lb-version", Example: "v2", Meaning: "The version of the API. There is v2 only.",
		Honoured: Differently, Remark: "Any other value is an error.", read: lbVersion},
	{Section: sectionLoadBalancer, Name: "floating-network-id", Example: "f0", Meaning: "The external network that floating IPs come from. The first one that is found otherwise.",
		read: id(func(t target) *string { return &t.balancer.FloatingNetwork })},
	{Section: sectionLoadBalancer, Name: "floating-subnet-id", Example: "f1", Meaning: "The subnet of it that floating IPs come from.",
		read: id(func(t target) *string { return &t.balancer.FloatingSubnet.ID })},
	{Section: sectionLoadBalancer, Name: "floating-subnet", Example: "public-*", Meaning: "The same by name: a shell pattern, or after ~ a regular expression; ! in front turns it round. Subnets are tried until one has an address.",
		read: taking(parseSubnetName, func(t target) *string { return &t.balancer.FloatingSubnet.Name })},
	{Section: sectionLoadBalancer, Name: "floating-subnet-tags", Example: "fast,cheap", Meaning: "The same by tags, one of which is enough; & in front asks for all, ! turns it round.",
		read: text(func(t target) *string { return &t.balancer.FloatingSubnet.Tags })},
	{Section: sectionLoadBalancer, Name: "network-id", Example: "n0", Meaning: "The network of the VIP. Where the nodes are otherwise.",
		read: id(func(t target) *string { return &t.balancer.Network })},
	{Section: sectionLoadBalancer, Name: "subnet-id", Example: "s0", Meaning: "The subnet of the VIP, and of the members where member-subnet-id is not set.",
		read: id(func(t target) *string { return &t.balancer.Subnet })},
	{Section: sectionLoadBalancer, Name: "member-subnet-id", Example: "m0", Meaning: "The subnet in which the load balancer reaches the members.",
		read: id(func(t target) *string { return &t.balancer.MemberSubnet })},
	{Section: sectionLoadBalancer, Name: "lb-provider", Default: "amphora", Example: "ovn", Meaning: "Octavia's provider: amphora, ovn, or another that the cloud has.",
		read: taking(parseProvider, func(t target) *string { return &t.balancer.Provider })},
	{Section: sectionLoadBalancer, Name: "lb-method", Default: roundRobin, Example: leastConnections, Meaning: "How a member is chosen: ROUND_ROBIN, LEAST_CONNECTIONS or SOURCE_IP. The provider ovn has SOURCE_IP_PORT alone, and that is its default.",
		Honoured: Differently, Remark: "What the provider cannot do gives way to its default.",
		read: taking(parseMethod, func(t target) *string { return &t.balancer.Method })},
	{Section: sectionLoadBalancer, Name: "flavor-id", Example: "fl", Meaning: "Octavia's flavor.", Honoured: Differently, Remark: "The provider ovn has none, and ignores this key.",
		read: id(func(t target) *string { return &t.balancer.Flavor })},
	{Section: sectionLoadBalancer, Name: "availability-zone", Example: "az1", Meaning: "Octavia's availability zone.", Honoured: Differently, Remark: "The provider ovn has none, and ignores this key.",
		read: text(func(t target) *string { return &t.balancer.AvailabilityZone })},
	{Section: sectionLoadBalancer, Name: "create-monitor", Default: "false", Example: "true", Meaning: "Whether members are watched.",
		Honoured: Differently, Remark: "With externalTrafficPolicy: Local they always are, or traffic would go to nodes without a pod.",
		read: flag(func(t target) *bool { return &t.balancer.CreateMonitor })},
	{Section: sectionLoadBalancer, Name: "monitor-delay", Default: "5s", Example: "1m", Meaning: "Time between two checks of a member.",
		read: taking(parseDuration, func(t target) *time.Duration { return &t.balancer.Monitor.Delay })},
	{Section: sectionLoadBalancer, Name: "monitor-timeout", Default: "3s", Example: "10s", Meaning: "How long a check waits for its answer.",
		read: taking(parseDuration, func(t target) *time.Duration { return &t.balancer.Monitor.Timeout })},
	{Section: sectionLoadBalancer, Name: "monitor-max-retries", Default: "1", Example: "3", Meaning: "Good checks until a member gets traffic again.",
		read: retries(func(t target) *int { return &t.balancer.Monitor.MaxRetries })},
	{Section: sectionLoadBalancer, Name: "monitor-max-retries-down", Default: "3", Example: "5", Meaning: "Bad checks until it gets none.",
		read: retries(func(t target) *int { return &t.balancer.Monitor.MaxRetriesDown })},
	{Section: sectionLoadBalancer, Name: "manage-security-groups", Default: "false", Example: "true", Meaning: "Whether the nodes' ports let the load balancer in by a security group of its own.",
		Honoured: Differently, Remark: "The default is true where there is no [LoadBalancer] section at all.",
		read: flag(func(t target) *bool { return &t.balancer.SecurityGroups })},
	{Section: sectionLoadBalancer, Name: "internal-lb", Default: "false", Example: "true", Meaning: "No load balancer gets a floating IP, whatever the Service says.",
		read: flag(func(t target) *bool { return &t.balancer.Internal })},
	{Section: sectionLoadBalancer, Name: "node-selector", Example: "zone=a, gateway", Meaning: "Labels that a node must have to be a member.",
		Honoured: Differently, Remark: "A change of a node's labels counts at once.",
		read: taking(ParseNodeSelector, func(t target) **lb.Selector { return &t.balancer.NodeSelector })},
	{Section: sectionLoadBalancer, Name: "cascade-delete", Default: "true", Example: "false", Meaning: "Delete a load balancer and all below it in one call.",
		read: flag(func(t target) *bool { return &t.balancer.Cascade })},
	{Section: sectionLoadBalancer, Name: "enable-ingress-hostname", Default: "false", Example: "true", Meaning: "With PROXY protocol, show a name in place of the address, so that kube-proxy does not take a short cut.",
		Honoured: Differently, Remark: "Kubernetes since 1.30 needs no name for that. IPv6 addresses are always shown.",
		read: flag(func(t target) *bool { return &t.balancer.IngressHostname })},
	{Section: sectionLoadBalancer, Name: "ingress-hostname-suffix", Default: "nip.io", Example: "sslip.io", Meaning: "What follows the address in that name.",
		read: taking(parseHostname, func(t target) *string { return &t.balancer.HostnameSuffix })},
	{Section: sectionLoadBalancer, Name: "default-tls-container-ref", Example: "https://barbican.example.org/v1/containers/c0", Meaning: "The certificate with which all load balancers end TLS.",
		read: text(func(t target) *string { return &t.balancer.TLSContainer })},
	{Section: sectionLoadBalancer, Name: "container-store", Default: barbican, Example: "external", Meaning: "Where that reference leads. What is not in Barbican is not checked.",
		read: text(func(t target) *string { return &t.balancer.ContainerStore })},
	{Section: sectionLoadBalancer, Name: "provider-requires-serial-api-calls", Default: "false", Example: "true", Meaning: "Make a load balancer, its listeners, pools and members one by one.",
		read: flag(func(t target) *bool { return &t.balancer.Serial })},
	unused(sectionLoadBalancer, "max-shared-lb", "any number of Services may share a load balancer"),
	unused(sectionLoadBalancer, "use-octavia", "it is always Octavia"),
}

func lbVersion(_ target, e entry) error {
	if e.value != "" && e.value != "v2" {
		return errors.New("v2, or leave the key out")
	}
	return nil
}

func parseProvider(s string) (string, error) {
	if s == "" {
		return "", errors.New("amphora, ovn, or another provider of the cloud")
	}
	return s, nil
}
