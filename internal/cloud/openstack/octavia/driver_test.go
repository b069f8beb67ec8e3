package octavia

import (
	"os"
	"runtime/debug"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/cloud/openstack/fake"
)

func TestMain(m *testing.M) {
	// Thousands of small worlds are made and thrown away.
	debug.SetGCPercent(1000)
	code := m.Run()
	if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

const plainConf = "[LoadBalancer]\n"

var slow = fake.Options{Times: map[string]fake.Times{"amphora": {Create: 10 * time.Second, Update: time.Second, Delete: 2 * time.Second, Failover: 5 * time.Second}}}

func TestAServiceGetsAnAddressAndLeavesNothingBehind(t *testing.T) {
	onStage(t, slow, plainConf, func(s *stage) {
		s.service("web", "80/TCP")
		s.start()
		s.until("address", s.quiet)
		s.change(func() { s.leaving["web"] = true })
		s.until("gone", func() bool { return len(s.services) == 0 })
		if left := s.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
