package openstack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/lab/build"
)

// DefaultDir is where a cloud is when nobody says another directory.
const DefaultDir = "/var/lib/fairlead-openstack"

// mark is in every directory that may be deleted as a whole.
const mark = ".fairlead-openstack"

// Options describe a cloud. The zero value has both providers of Octavia, and
// a tenant network in which the nodes of package lab can be.
type Options struct {
	// Dir holds all of the cloud: databases, logs, sockets. DefaultDir if empty.
	Dir string
	// NoOVN leaves out Octavia's ovn provider. Neutron is then ML2/openvswitch
	// instead of ML2/OVN, each without agents.
	NoOVN bool
	// IPv4 is the tenant's IPv4 subnet; 172.31.0.0/24 if zero, the segment of
	// the nodes of package lab. Its lower half is left to nodes, load balancers
	// get addresses from the upper half: 63 of provider amphora in a /24, which
	// takes two addresses each.
	IPv4 netip.Prefix
	// IPv6 is the tenant's IPv6 subnet; fd31::/64 if zero.
	IPv6 netip.Prefix
	// Progress is told what takes time; nil for silence.
	Progress io.Writer `json:"-"`
}

func (o Options) complete() (Options, error) {
	var err error
	if o.Dir, err = filepath.Abs(cmp.Or(o.Dir, DefaultDir)); err != nil {
		return o, err
	}
	if !o.IPv4.IsValid() {
		o.IPv4 = netip.MustParsePrefix("172.31.0.0/24")
	}
	if !o.IPv6.IsValid() {
		o.IPv6 = netip.MustParsePrefix("fd31::/64")
	}
	o.IPv4, o.IPv6 = o.IPv4.Masked(), o.IPv6.Masked()
	if !o.IPv4.Addr().Is4() || o.IPv4.Bits() > 28 {
		return o, fmt.Errorf("tenant subnet %s: use an IPv4 prefix of /28 or wider", o.IPv4)
	}
	if !o.IPv6.Addr().Is6() || o.IPv6.Bits() > 64 {
		return o, fmt.Errorf("tenant subnet %s: use an IPv6 prefix of /64 or wider", o.IPv6)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	// The kernel takes paths of sockets up to 107 bytes; this is the longest.
	if n := len(filepath.Join(o.Dir, "sock", "octavia-status.sock")); n > 107 {
		return o, fmt.Errorf("directory %s: its sockets would have paths of %d bytes, and 107 is the limit; use a shorter one", o.Dir, n)
	}
	return o, nil
}

// same tells whether two clouds differ in nothing but where they are.
func (o Options) same(p Options) bool {
	return o.NoOVN == p.NoOVN && o.IPv4 == p.IPv4 && o.IPv6 == p.IPv6
}

// Up starts a cloud and returns when all its services answer. A cloud that
// runs already in the directory is returned as it is. What is left of one that
// was killed is replaced. The first Up of a machine installs packages, the first
// of a kind migrates and fills the databases; later ones take a copy.
//
// The cloud outlives this process: someone must call Down.
func Up(ctx context.Context, o Options) (*Cloud, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("an OpenStack lab needs root: it installs packages and runs a database server")
	}
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c, err := Attach(o.Dir); err == nil {
		if !c.Options.same(o) {
			return nil, fmt.Errorf("the cloud in %s runs with other options (%s); end it with: %s", o.Dir, c.Options.kind(), downCommand(o.Dir))
		}
		fmt.Fprintf(o.Progress, "the cloud in %s is up already\n", o.Dir)
		return c, nil
	}
	if err := remove(o.Dir); err != nil {
		return nil, err
	}
	if err := Install(ctx, o.Progress); err != nil {
		return nil, err
	}
	if err := checkPorts(); err != nil {
		return nil, err
	}
	if err := makeDirs(o.Dir); err != nil {
		return nil, err
	}
	r := newRun(o)
	if err := r.up(ctx); err != nil {
		// The directory stays, for its logs. The next Up or Down removes it.
		return nil, errors.Join(fmt.Errorf("start OpenStack (logs in %s): %w", filepath.Join(o.Dir, "log"), err), kill(o.Dir))
	}
	return r.cloud, nil
}

// Attach returns the cloud that runs in a directory, whoever started it.
func Attach(dir string) (*Cloud, error) {
	o, err := Options{Dir: dir}.complete()
	if err != nil {
		return nil, err
	}
	c := new(Cloud)
	data, err := os.ReadFile(filepath.Join(o.Dir, "cloud.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no cloud runs in %s; start one with: %s", o.Dir, upCommand(o.Dir))
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("read %s/cloud.json: %w", o.Dir, err)
	}
	c.Options.Dir, c.Options.Progress = o.Dir, io.Discard
	daemons, err := c.Daemons()
	if err != nil {
		return nil, err
	}
	for _, d := range daemons {
		if !d.Running {
			return nil, fmt.Errorf("the cloud in %s is broken: %s has ended (its log: %s); replace it with: %s", o.Dir, d.Name, d.Log, upCommand(o.Dir))
		}
	}
	return c, nil
}

// Down ends all processes of the cloud and deletes its directory.
func (c *Cloud) Down(ctx context.Context) error { return Remove(ctx, c.Options.Dir) }

// Remove is Down for a directory, also for a cloud that is half started or
// half gone. That there is none is no error.
func Remove(ctx context.Context, dir string) error {
	o, err := Options{Dir: dir}.complete()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, o.Progress)
	if err != nil {
		return err
	}
	defer unlock()
	return remove(o.Dir)
}

func remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
		return fmt.Errorf("%s holds something that is no OpenStack lab; name an empty directory", dir)
	}
	if err := kill(dir); err != nil {
		return fmt.Errorf("end the cloud in %s: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

func makeDirs(dir string) error {
	for _, name := range []string{"conf", "log", "pid", "home", "lock", "sock", "ca", "ovn", "rabbitmq", "neutron"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, mark), []byte("This directory is deleted as a whole by lab/openstack of Fairlead.\n"), 0o644)
}

func upCommand(dir string) string   { return "go run ./lab/cmd/openstack up -d " + dir }
func downCommand(dir string) string { return "go run ./lab/cmd/openstack down -d " + dir }

// kind is in words what makes one cloud different from another.
func (o Options) kind() string {
	providers := "amphora and ovn"
	if o.NoOVN {
		providers = "amphora"
	}
	return fmt.Sprintf("%s, tenant subnets %s and %s", providers, o.IPv4, o.IPv6)
}

// lock lets one process at a time start or end a cloud.
func lock(ctx context.Context, progress io.Writer) (unlock func(), err error) {
	return build.LockFile(ctx, "/run/lock/fairlead-openstack", "another process is starting or ending a cloud; waiting for it", progress)
}
