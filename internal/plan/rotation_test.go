package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairlead.dev/fairlead/internal/lb"
)

// dawn is when the tests of rotation begin.
var dawn = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// ring makes keys of their ids; a is the oldest.
func ring(ids string) []HeartbeatKey {
	var out []HeartbeatKey
	for _, id := range strings.Fields(ids) {
		out = append(out, HeartbeatKey{ID: id, Made: dawn.Add(time.Duration(id[0]-'a') * time.Second)})
	}
	return out
}

// hearer is a speaker that reports keys.
func hearer(node, ids string) lb.Speaker {
	return lb.Speaker{Node: node, Hearing: &lb.Hearing{Keys: strings.Fields(ids)}}
}

// allReport is three speakers that report the same.
func allReport(ids string) []lb.Speaker {
	return []lb.Speaker{hearer("1", ids), hearer("2", ids), hearer("3", ids)}
}

var threeNodes = []lb.Node{{Name: "1", Alive: true}, {Name: "2", Alive: true}, {Name: "3", Alive: true}}

// rotationCase is a state of a rotation, and what is done next.
type rotationCase struct {
	name string
	in   Rotation
	want KeyStep
}

func checkRotation(t *testing.T, cases []rotationCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, RotateKeys(c.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestARotationGoesStepByStep(t *testing.T) {
	const month = 30 * 24 * time.Hour
	checkRotation(t, []rotationCase{
		{"the first key is made at once", Rotation{Nodes: threeNodes, Speakers: allReport("")}, KeyStep{Do: AddKey}},
		{"a young key stays, and is looked at when it is old", Rotation{Keys: ring("a"), Age: time.Hour, KeyAge: month, Now: dawn.Add(time.Hour), Speakers: allReport("a"), Nodes: threeNodes},
			KeyStep{Again: month - time.Hour}},
		{"an old key gets a successor behind it", Rotation{Keys: ring("a"), Age: month, KeyAge: month, Now: dawn.Add(month), Speakers: allReport("a"), Nodes: threeNodes},
			KeyStep{Do: AddKey, Keep: []string{"a"}}},
		{"an old key stays where age does not matter", Rotation{Keys: ring("a"), Age: month, Now: dawn.Add(month), Speakers: allReport("a"), Nodes: threeNodes}, KeyStep{}},
		{"a key of tomorrow is young", Rotation{Keys: ring("a"), Age: time.Hour, KeyAge: month, Now: dawn.Add(-time.Hour), Speakers: allReport("a"), Nodes: threeNodes},
			KeyStep{Again: month + time.Hour}},
		{"a person need not wait for it to be old", Rotation{Keys: ring("a"), Age: time.Hour, Asked: true, Speakers: allReport("a"), Nodes: threeNodes},
			KeyStep{Do: AddKey, Keep: []string{"a"}}},
		{"the new key signs when all accept it", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: allReport("a b"), Nodes: threeNodes},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"the old key ends when none signs with it", Rotation{Keys: ring("b a"), Age: time.Hour, Speakers: allReport("b a"), Nodes: threeNodes},
			KeyStep{Do: DropKeys, Keep: []string{"b"}}},
		{"asked meanwhile, it finishes first", Rotation{Keys: ring("b a"), Age: time.Hour, Asked: true, Speakers: allReport("b a"), Nodes: threeNodes},
			KeyStep{Do: DropKeys, Keep: []string{"b"}}},
		{"of many that a person wrote, the youngest signs next", Rotation{Keys: ring("a c b"), Age: time.Hour, Speakers: allReport("a c b"), Nodes: threeNodes},
			KeyStep{Do: SignWithKey, Keep: []string{"c", "a", "b"}}},
		{"of many that a person wrote, the youngest stays", Rotation{Keys: ring("c a b"), Age: time.Hour, Speakers: allReport("c a b"), Nodes: threeNodes},
			KeyStep{Do: DropKeys, Keep: []string{"c"}}},
		{"of two of one date, the first stays", Rotation{Keys: []HeartbeatKey{{"x", dawn}, {"y", dawn}}, Age: time.Hour, Speakers: allReport("x y"), Nodes: threeNodes},
			KeyStep{Do: DropKeys, Keep: []string{"x"}}},
	})
}

func TestAStepWaitsForThoseWhoLackTheOneBefore(t *testing.T) {
	unreached := []lb.Node{{Name: "1", Alive: true}, {Name: "2", Alive: true}, {Name: "3"}}
	behind := []lb.Speaker{hearer("1", "a b"), hearer("2", "a b"), hearer("3", "a")}
	other := func(s lb.Speaker) []lb.Speaker { return []lb.Speaker{hearer("1", "a b"), hearer("2", "a b"), s} }
	checkRotation(t, []rotationCase{
		{"steps keep their distance", Rotation{Keys: ring("a b"), Age: 50 * time.Second, Speakers: allReport("a b"), Nodes: threeNodes},
			KeyStep{Wait: "the keys changed less than a minute ago", Again: 10 * time.Second}},
		{"a node that lags is waited for", Rotation{Keys: ring("a b"), Age: 48 * time.Hour, Speakers: behind, Nodes: threeNodes},
			KeyStep{Wait: "these nodes do not report the keys a, b: 3"}},
		{"the order of the keys counts", Rotation{Keys: ring("b a"), Age: time.Hour, Speakers: behind, Nodes: threeNodes},
			KeyStep{Wait: "these nodes do not report the keys b, a: 1, 2, 3"}},
		{"a speaker without keys yet is waited for", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: other(hearer("3", "")), Nodes: threeNodes},
			KeyStep{Wait: "these nodes do not report the keys a, b: 3"}},
		{"one without heartbeats is not", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: other(lb.Speaker{Node: "3"}), Nodes: threeNodes},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"one that left is not", Rotation{Keys: ring("a b"), Age: time.Hour, Nodes: threeNodes,
			Speakers: other(lb.Speaker{Node: "3", Leaving: true, Hearing: &lb.Hearing{Keys: []string{"a"}}})},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"one whose node is gone is not", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: behind, Nodes: threeNodes[:2]},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"one whose node is out of service is not", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: behind,
			Nodes: []lb.Node{threeNodes[0], threeNodes[1], {Name: "3", OutOfService: true}}},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"a node that Kubernetes cannot reach is waited for", Rotation{Keys: ring("a b"), Age: 23 * time.Hour, Speakers: behind, Nodes: unreached},
			KeyStep{Wait: "Kubernetes cannot reach these nodes, which may not know the keys a, b: 3", Again: time.Hour}},
		{"but not if it knows", Rotation{Keys: ring("a b"), Age: time.Hour, Speakers: allReport("a b"), Nodes: unreached},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}}},
		{"and not for more than a day", Rotation{Keys: ring("a b"), Age: 24 * time.Hour, Speakers: behind, Nodes: unreached},
			KeyStep{Do: SignWithKey, Keep: []string{"b", "a"}, Left: []string{"3"}}},
		{"half of the nodes are never left behind", Rotation{Keys: ring("a b"), Age: 240 * time.Hour, Speakers: []lb.Speaker{hearer("1", "a b"), hearer("3", "a")}, Nodes: unreached},
			KeyStep{Wait: "Kubernetes cannot reach half of the speakers or more, which may not know the keys a, b: 3"}},
	})
}

// edition is the keys that the Secret had from some time on.
type edition struct {
	keys []HeartbeatKey
	at   time.Duration
}

// listenerModel is a speaker, by the keys that it has and those that it told of.
type listenerModel struct {
	has, told []string
	// young is set from a start to the first report: until then the object has the keys
	// that the process before had.
	young bool
	alive bool
	left  bool // behind, by the plan's own word
}

// rotationModel is a cluster during rotations: a Secret of which speakers know older
// versions, and a controller that knows older reports.
type rotationModel struct {
	now      time.Duration
	history  []edition
	made     int
	asked    bool
	restless bool // asks for a new key again and again
	speakers []listenerModel
}

func (m *rotationModel) current() edition { return m.history[len(m.history)-1] }

// at is the keys as they were d ago.
func (m *rotationModel) at(d time.Duration) []string {
	out := m.history[0].keys
	for _, e := range m.history {
		if e.at <= m.now-d {
			out = e.keys
		}
	}
	return idsOf(out)
}

func idsOf(keys []HeartbeatKey) []string {
	r := Rotation{Keys: keys}
	return r.ids()
}

// pass lets time pass. A speaker that started reads from an API server that is at most
// KeysSettle behind.
func (m *rotationModel) pass(d time.Duration) {
	for d > 0 {
		tick := min(d, KeysSettle/4)
		m.now += tick
		d -= tick
		for i := range m.speakers {
			if s := &m.speakers[i]; s.young && !slices.Contains(m.recent(), strings.Join(s.has, " ")) {
				s.has = m.at(KeysSettle)
			}
		}
	}
}

// recent are the keys that were in force within the last KeysSettle.
func (m *rotationModel) recent() []string {
	var out []string
	for i, e := range m.history {
		if i == len(m.history)-1 || m.history[i+1].at > m.now-KeysSettle {
			out = append(out, strings.Join(idsOf(e.keys), " "))
		}
	}
	return out
}

// decision is what a controller would do, and on which version of the Secret.
type decision struct {
	step    KeyStep
	version int
}

func (m *rotationModel) decide() decision {
	r := Rotation{Keys: m.current().keys, Age: m.now - m.current().at, Asked: m.asked || m.restless, KeyAge: 30 * 24 * time.Hour, Now: dawn.Add(m.now)}
	for i, s := range m.speakers {
		node := fmt.Sprintf("n%d", i)
		r.Nodes = append(r.Nodes, lb.Node{Name: node, Alive: s.alive})
		r.Speakers = append(r.Speakers, lb.Speaker{Node: node, Hearing: &lb.Hearing{Keys: s.told}})
	}
	return decision{RotateKeys(r), len(m.history)}
}

// do writes a decision, which the API server refuses when the Secret changed.
func (m *rotationModel) do(d decision) {
	if d.version != len(m.history) || d.step.Do == KeepKeys {
		return
	}
	var keys []HeartbeatKey
	for _, id := range d.step.Keep {
		keys = append(keys, m.current().keys[slices.IndexFunc(m.current().keys, func(k HeartbeatKey) bool { return k.ID == id })])
	}
	if d.step.Do == AddKey {
		m.made++
		m.asked = false
		keys = append(keys, HeartbeatKey{ID: fmt.Sprintf("k%d", m.made), Made: dawn.Add(m.now + time.Duration(m.made))})
	}
	for _, node := range d.step.Left {
		var i int
		fmt.Sscanf(node, "n%d", &i)
		m.speakers[i].left = true
	}
	m.history = append(m.history, edition{keys, m.now})
}

func (m *rotationModel) adopt(s *listenerModel) { s.has, s.left = m.at(0), false }

func (s *listenerModel) report() { s.told, s.young = s.has, false }

// check tells who does not hear whom.
func (m *rotationModel) check(t *rapid.T) {
	if len(m.history) > 1 && len(m.current().keys) == 0 {
		t.Fatal("there is no key any more")
	}
	for i, x := range m.speakers {
		for j, y := range m.speakers {
			if x.left || y.left || len(x.has) == 0 || len(y.has) == 0 || slices.Contains(y.has, x.has[0]) {
				continue
			}
			t.Fatalf("n%d has %v and does not hear n%d, which has %v; the Secret had %v", j, y.has, i, x.has, m.editions())
		}
	}
}

func TestSpeakersHearEachOtherThroughoutARotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &rotationModel{history: []edition{{}}, speakers: make([]listenerModel, rapid.IntRange(1, 5).Draw(t, "speakers"))}
		m.restless = rapid.Bool().Draw(t, "restless")
		for i := range m.speakers {
			m.speakers[i].alive = true
		}
		if rapid.Bool().Draw(t, "installed long ago") {
			m.do(m.decide())
			m.everybody()
			m.pass(time.Hour)
		}
		late := m.decide()
		which := func() *listenerModel { return &m.speakers[rapid.IntRange(0, len(m.speakers)-1).Draw(t, "speaker")] }
		t.Repeat(map[string]func(*rapid.T){
			"":           m.check,
			"controller": func(*rapid.T) { m.do(m.decide()) },
			// It decides, and what it wrote arrives later or never.
			"crash":       func(*rapid.T) { late = m.decide() },
			"late write":  func(*rapid.T) { m.do(late) },
			"adopts":      func(*rapid.T) { m.adopt(which()) },
			"reports":     func(*rapid.T) { which().report() },
			"all at once": func(*rapid.T) { m.do(m.decide()); m.everybody() },
			"starts": func(t *rapid.T) {
				s := which()
				behind := time.Duration(rapid.Int64Range(0, int64(KeysSettle-time.Second)).Draw(t, "behind"))
				s.has, s.young, s.left = m.at(behind), true, false
			},
			"loses or finds the API server": func(*rapid.T) { s := which(); s.alive = !s.alive },
			"time": func(t *rapid.T) {
				m.pass(rapid.SampledFrom([]time.Duration{20 * time.Second, time.Minute, time.Hour, 25 * time.Hour}).Draw(t, "passes"))
			},
		})
		m.ends(t)
	})
}

// editions are all keys that the Secret had, in a form to read.
func (m *rotationModel) editions() []string {
	var out []string
	for _, e := range m.history {
		out = append(out, fmt.Sprintf("%v since %s", idsOf(e.keys), e.at))
	}
	return out
}

// everybody whom Kubernetes reaches adopts and reports.
func (m *rotationModel) everybody() {
	for i := range m.speakers {
		if s := &m.speakers[i]; s.alive {
			m.adopt(s)
			s.report()
		}
	}
}

// ends checks that a rotation that is asked for ends, without those nodes even that
// never come back, if they are fewer than half.
func (m *rotationModel) ends(t *rapid.T) {
	for i := range m.speakers {
		m.speakers[i].alive = m.speakers[i].alive || i >= (len(m.speakers)-1)/2
	}
	m.asked, m.restless = true, false
	before := m.made
	for range 8 * 24 {
		m.do(m.decide())
		m.check(t)
		m.everybody()
		m.check(t)
		m.pass(time.Hour)
	}
	if keys := m.current().keys; m.asked || len(keys) != 1 || m.made == before || keys[0].ID != fmt.Sprintf("k%d", m.made) {
		t.Fatalf("after eight days the keys are %v; %d were made before and %d are now", keys, before, m.made)
	}
}
