package occm

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/lb"
)

// Config is a cloud.conf.
type Config struct {
	Credentials  Credentials
	LoadBalancer LoadBalancer
	// Classes are the sections [LoadBalancerClass "name"].
	Classes map[string]*Class
	// RequestTimeout ends a call to the cloud.
	RequestTimeout time.Duration
}

// LoadBalancer is the section of that name.
type LoadBalancer struct {
	// Given tells that the section is there at all.
	Given   bool
	Enabled bool

	FloatingNetwork string
	FloatingSubnet  lb.SubnetChoice
	Network         string
	Subnet          string
	MemberSubnet    string

	Provider         string
	Method           string
	Flavor           string
	AvailabilityZone string

	CreateMonitor bool
	Monitor       lb.Monitor

	SecurityGroups  bool
	Internal        bool
	NodeSelector    *lb.Selector
	IngressHostname bool
	HostnameSuffix  string
	TLSContainer    string
	ContainerStore  string
	Cascade         bool
	Serial          bool
}

// Class is a [LoadBalancerClass "name"]: where the load balancers of a Service that
// names it are put.
type Class struct {
	FloatingNetwork string
	FloatingSubnet  lb.SubnetChoice
	Network         string
	Subnet          string
	MemberSubnet    string
}

// Warning is something in a cloud.conf that has no effect, or hardly the one that was
// meant.
type Warning struct {
	Line int
	Kind WarningKind
	// Text is a sentence, without the value of any secret.
	Text string
}

func (w Warning) String() string { return fmt.Sprintf("cloud.conf line %d: %s", w.Line, w.Text) }

// WarningKind tells what to do with a Warning.
type WarningKind string

// The kinds.
const (
	// Unknown is a section or key that nobody reads: most likely a typing error.
	Unknown WarningKind = "Unknown"
	// Unused is one that other programs read, or that has no meaning here.
	Unused WarningKind = "Unused"
	// Doubtful is a value that can be read, but was hardly meant like that.
	Doubtful WarningKind = "Doubtful"
)

// defaults are OCCM's, but for security groups: see [Config.Options].
func defaults() *Config {
	return &Config{
		LoadBalancer: LoadBalancer{
			Enabled: true, Provider: "amphora", Method: roundRobin,
			Monitor: lb.Monitor{Delay: 5 * time.Second, Timeout: 3 * time.Second, MaxRetries: 1, MaxRetriesDown: 3},
			Cascade: true, HostnameSuffix: "nip.io", ContainerStore: barbican,
		},
		Classes:        map[string]*Class{},
		RequestTimeout: 60 * time.Second,
	}
}

// ParseConfig reads a cloud.conf exactly as OCCM does. What OCCM reads and nobody
// needs here is accepted, and told as a Warning, as is what nobody knows. Text that
// cannot be read, or a value, is an error: it names line, section and key, and what
// to write instead. Neither ever repeats the value of a secret key.
//
// No text at all is a configuration of defaults, as beside a clouds.yaml.
func ParseConfig(text []byte) (*Config, []Warning, error) {
	entries, err := scan(text)
	if err != nil {
		return nil, nil, err
	}
	p := parse{config: defaults(), seen: map[string]int{}}
	for _, e := range entries {
		p.entry(e)
	}
	p.whole()
	if err := errors.Join(p.errs...); err != nil {
		return nil, p.warnings, err
	}
	return p.config, p.warnings, nil
}

type parse struct {
	config   *Config
	class    *Class // that the keys go to
	warnings []Warning
	errs     []error
	seen     map[string]int // line by section, sub-section and key
}

func (p *parse) warn(line int, kind WarningKind, format string, args ...any) {
	p.warnings = append(p.warnings, Warning{line, kind, fmt.Sprintf(format, args...)})
}

func (p *parse) entry(e entry) {
	i := slices.IndexFunc(sections, func(s section) bool { return strings.EqualFold(s.name, e.section) })
	switch {
	case i < 0:
		if e.name == "" {
			p.warn(e.line, Unknown, "nobody knows the section %s%s", printable(e.section), didYouMean("["+nearest(e.section, sectionNames())+"]"))
		}
		return
	case sections[i].unused != "":
		if e.name == "" {
			p.warn(e.line, Unused, "[%s] %s", sections[i].name, sections[i].unused)
		}
		return
	}
	s := sections[i]
	if e.name == "" {
		p.header(s, e)
		return
	}
	if (e.sub != "") != s.named {
		return // told at the header
	}
	known := slices.IndexFunc(keys, func(k Key) bool {
		return k.Section == s.name && strings.EqualFold(k.Name, e.name)
	})
	if known < 0 {
		p.unknownKey(s, e)
		return
	}
	k := keys[known]
	p.twice(k, e)
	if k.Honoured == No {
		p.warn(e.line, Unused, "[%s] %s has no effect: %s", k.Section, k.Name, k.Remark)
		return
	}
	if e.clipped {
		p.warn(e.line, Doubtful, "[%s] %s ends where a comment begins in the middle of a word; if # or ; belong to the value, put it in double quotes", k.Section, k.Name)
	}
	var d doubt
	switch err := k.read(p.target(), e); {
	case errors.As(err, &d):
		p.warn(e.line, Doubtful, "[%s] %s: %s", k.Section, k.Name, d)
	case err != nil:
		p.errs = append(p.errs, wrong(k, e, err))
	}
}

func (p *parse) target() target { return target{p.config, &p.config.LoadBalancer, p.class} }

func (p *parse) header(s section, e entry) {
	if s.name == sectionLoadBalancer && e.sub == "" {
		p.config.LoadBalancer.Given = true
	}
	switch {
	case s.named && e.sub == "":
		p.warn(e.line, Unknown, `[%s] needs a name: write [%s "name"]; nothing below it counts`, s.name, s.name)
	case !s.named && e.sub != "":
		p.warn(e.line, Unknown, "[%s] takes no name in quotes: write [%s]; nothing below it counts", s.name, s.name)
	case s.named:
		if p.class = p.config.Classes[e.sub]; p.class == nil {
			p.class = &Class{}
			p.config.Classes[e.sub] = p.class
		}
	}
}

// twice tells that only the last of two values counts, which the first may not show.
func (p *parse) twice(k Key, e entry) {
	id := k.Section + "\n" + e.sub + "\n" + k.Name
	if line, ok := p.seen[id]; ok && !k.many {
		p.warn(e.line, Doubtful, "[%s] %s is in line %d already; the last one counts", k.Section, k.Name, line)
	}
	p.seen[id] = e.line
}

func (p *parse) unknownKey(s section, e entry) {
	var names []string
	for _, k := range keys {
		if k.Section == s.name {
			names = append(names, k.Name)
		}
	}
	suggestion := nearest(e.name, names)
	if suggestion == "" {
		for _, k := range keys {
			if strings.EqualFold(k.Name, e.name) && k.Honoured != No {
				p.warn(e.line, Unknown, "nobody reads %s in [%s]: it belongs into [%s]", k.Name, s.name, k.Section)
				return
			}
		}
	}
	p.warn(e.line, Unknown, "nobody knows %s in [%s]%s", printable(e.name), s.name, didYouMean(suggestion))
}

func didYouMean(name string) string {
	if name == "" || name == "[]" {
		return ""
	}
	return "; did you mean " + name + "?"
}

var nameLike = regexp.MustCompile(`^[A-Z]?[a-z]+([A-Z][a-z]+)*(-[a-z]+)*$`)

// printable keeps what does not look like a name to itself: a secret that was broken
// over two lines ends up where a name is expected.
func printable(name string) string {
	if len(name) > 40 || !nameLike.MatchString(name) {
		return "what is written there"
	}
	return name
}

func wrong(k Key, e entry, err error) error {
	section := k.Section
	if e.sub != "" {
		section = fmt.Sprintf("%s %q", k.Section, e.sub)
	}
	switch {
	case e.blank:
		return fmt.Errorf("cloud.conf line %d: [%s] %s has no value: write %w", e.line, section, k.Name, err)
	case k.Secret:
		return fmt.Errorf("cloud.conf line %d: [%s] %s: write %w", e.line, section, k.Name, err)
	}
	return fmt.Errorf("cloud.conf line %d: [%s] %s = %s: write %w", e.line, section, k.Name, quoted(e.value), err)
}

// quoted shows a value, though not pages of it.
func quoted(value string) string {
	if r := []rune(value); len(r) > 80 {
		value = string(r[:79]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

// whole checks what more than one key shows.
func (p *parse) whole() {
	l := &p.config.LoadBalancer
	line := func(key string) int { return p.seen[sectionLoadBalancer+"\n\n"+key] }
	if l.ContainerStore == barbican && l.TLSContainer != "" {
		if err := checkContainer(l.TLSContainer); err != nil {
			p.errs = append(p.errs, fmt.Errorf("cloud.conf line %d: [LoadBalancer] default-tls-container-ref = %s: write %w", line("default-tls-container-ref"), quoted(l.TLSContainer), err))
		}
	}
	if n := line("lb-method"); n > 0 && (l.Provider == ovn) != (l.Method == sourceIPPort) && builtIn(l.Provider) {
		p.warn(n, Doubtful, "[LoadBalancer] lb-method = %s is nothing that the provider %s can do; %s is used", l.Method, l.Provider, methodFor(l.Provider, l.Method))
	}
	slices.SortStableFunc(p.warnings, func(x, y Warning) int { return x.Line - y.Line })
}
