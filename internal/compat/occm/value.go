package occm

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// The functions here read one value. Their errors say what to write, and stand after
// "write".

// parseBool takes the words of cloud.conf.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("true or false")
}

// parseSwitch takes the words of annotations.
func parseSwitch(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New(`"true" or "false"`)
}

func parseNumber(s string, least, most int64, what string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if hex, ok := strings.CutPrefix(s, "0x"); ok { // cloud.conf takes both
		n, err = strconv.ParseInt(hex, 16, 64)
	}
	if err != nil || n < least || n > most {
		return 0, errors.New(what)
	}
	return n, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		return 0, errors.New("a duration of at least a second with its unit, such as 5s or 1m")
	}
	return d, nil
}

var idLike = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,254}$`)

// parseID takes what can be an id. It becomes part of an URL, so that anything else
// could turn a request into another one.
func parseID(s string) (string, error) {
	if s != "" && !idLike.MatchString(s) {
		return "", errors.New("the id, which has letters, digits and hyphens only")
	}
	return s, nil
}

// Octavia's algorithms.
const (
	roundRobin       = "ROUND_ROBIN"
	leastConnections = "LEAST_CONNECTIONS"
	sourceIP         = "SOURCE_IP"
	sourceIPPort     = "SOURCE_IP_PORT"
)

func parseMethod(s string) (string, error) {
	method := strings.ToUpper(s)
	if slices.Contains([]string{roundRobin, leastConnections, sourceIP, sourceIPPort}, method) {
		return method, nil
	}
	return "", fmt.Errorf("%s, %s or %s; with the provider ovn %s", roundRobin, leastConnections, sourceIP, sourceIPPort)
}

// parseSubnetName checks the regular expression; shell patterns have no wrong form.
func parseSubnetName(s string) (string, error) {
	if pattern, ok := strings.CutPrefix(strings.TrimPrefix(s, "!"), "~"); ok {
		if _, err := regexp.Compile(pattern); err != nil {
			return "", errors.New("a regular expression after the ~, such as ~public-.*")
		}
	}
	return s, nil
}

var labelLike = regexp.MustCompile(`^([a-zA-Z0-9.-]{1,253}/)?[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)

// ParseNodeSelector reads "key=value, key": nodes must have all the labels, those
// without a value with any value. It is nil where every node will do.
func ParseNodeSelector(s string) (*lb.Selector, error) {
	var out lb.Selector
	for part := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "" && value == "" {
			continue
		}
		if !labelLike.MatchString(key) || value != "" && !labelLike.MatchString(value) || strings.Contains(value, "/") {
			return nil, errors.New(`labels of nodes, such as "zone=a, gateway"`)
		}
		r := lb.Requirement{Key: key, Operator: lb.Exists}
		if value != "" {
			r = lb.Requirement{Key: key, Operator: lb.In, Values: []string{value}}
		}
		out.Requirements = slices.DeleteFunc(out.Requirements, func(x lb.Requirement) bool { return x.Key == key }) // the last counts
		out.Requirements = append(out.Requirements, r)
	}
	if out.Requirements == nil {
		return nil, nil
	}
	slices.SortFunc(out.Requirements, func(x, y lb.Requirement) int { return strings.Compare(x.Key, y.Key) })
	return &out, nil
}

func parseRanges(s string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, part := range strings.FieldsFunc(s, func(c rune) bool { return c == ',' || isSpace(c) || c == '\n' }) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			if a, err := netip.ParseAddr(part); err == nil && a.Zone() == "" {
				return nil, fmt.Errorf("a range, such as %s/%d for this address alone", a, a.BitLen())
			}
			return nil, errors.New(`ranges, such as "192.0.2.0/24, 2001:db8::/64"`)
		}
		if p = p.Masked(); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// barbican is the key manager; references into another one are not looked up.
const barbican = "barbican"

// checkContainer takes references of Barbican: https://host/v1/containers/<id>, or
// secrets for containers.
func checkContainer(ref string) error {
	parts := strings.Split(ref, "/")
	if n := len(parts); n >= 2 && (parts[n-2] == "containers" || parts[n-2] == "secrets") && idLike.MatchString(parts[n-1]) {
		return nil
	}
	return errors.New("Barbican's reference, such as https://barbican.example.org/v1/containers/<id>, or container-store = external in cloud.conf for another key manager")
}

var hostLike = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// parseHostname takes what the API server takes for status.loadBalancer.
func parseHostname(s string) (string, error) {
	if _, err := netip.ParseAddr(s); s != "" && (err == nil || len(s) > 253 || !hostLike.MatchString(s)) {
		return "", errors.New("a DNS name in lower case, such as shop.example.org")
	}
	return s, nil
}
