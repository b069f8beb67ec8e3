package plan

import (
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var addElections = flag.Bool("add-elections", false, "write those of testdata/election that are missing; what is there stays as it is")

// elections are made up once, by their seeds, and then only read: what makes them up may
// change, the files may not.
var elections = []struct {
	name            string
	about           string
	nodes, services int
	features        features
}{
	{"one-node", "One node has everything.", 1, 5, features{dual: 50}},
	{"fresh-3", "Nobody announced anything yet.", 3, 20, features{dual: 30}},
	{"fresh-20", "Nobody announced anything yet; some addresses are asked for.", 20, 150, features{dual: 30, probing: 20}},
	{"fresh-50", "Nobody announced anything yet.", 50, 300, features{dual: 10}},
	{"orphans-3", "A node is dead, and its addresses are to be taken over.", 3, 30, features{dead: 40, announced: 100}},
	{"orphans-20", "Nodes died and leave, beside fresh addresses and some that two announce.", 20, 200, features{dead: 15, leaving: 15, announced: 90, twice: 15, dual: 20}},
	{"orphans-50", "Nodes died.", 50, 300, features{dead: 10, announced: 100, twice: 5}},
	{"barred-9", "Nodes are excluded, out of service, without network, without a quorum.", 9, 60, features{excluded: 15, outOfService: 15, noNetwork: 15, noQuorum: 20, announced: 80}},
	{"offers-5", "Addresses are offered, some to nodes that are dead.", 5, 60, features{dead: 20, announced: 95, twice: 20, offered: 40}},
	{"local-7", "Local Services: who may own an address depends on its pods.", 7, 60, features{dead: 15, local: 70, dual: 30, announced: 60, twice: 10}},
	{"classes-8", "Classes with labels and interfaces.", 8, 80, features{dead: 15, classes: 70, edge: 50, wlan: 50, announced: 60}},
	{"unaware-6", "Speakers do not take some addresses.", 6, 60, features{unaware: 40, announced: 50}},
	{"blind-4", "Nobody seems to live: nobody loses anything.", 4, 30, features{dead: 100, announced: 80, excluded: 20}},
	{"deaf-4", "Nobody has a quorum: nobody loses anything.", 4, 30, features{noQuorum: 100, announced: 80, dead: 20}},
	{"everything-7", "Anything happens.", 7, 80, everything},
	{"everything-50", "Anything happens.", 50, 250, everything},
	{"twice-4", "Two announce most addresses, some since the same moment: as after a partition.", 4, 80, features{announced: 100, twice: 90}},
}

// Two versions of the program run side by side during every upgrade, and each decides for
// itself who owns what. If they came to different answers, an address would have two nodes,
// or none, for as long as the upgrade takes.
func TestElectionsComeOutAsInEveryVersionBefore(t *testing.T) {
	for seed, e := range elections {
		path := filepath.Join("testdata", "election", e.name+".golden")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && *addElections {
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			w := makeElection(e.nodes, e.services, e.features, r.IntN)
			if err := os.WriteFile(path, []byte("# "+e.about+"\n\n"+writeElection(w)+"\n"+answer(Owners(w))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob("testdata/election/*.golden")
	if err != nil || len(files) < len(elections) {
		t.Fatalf("%d elections are there, want %d at least (%v): one that is missing is written by -add-elections", len(files), len(elections), err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w, want, err := readElection(string(text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(answer(Owners(w)), "\n")); diff != "" {
			t.Errorf("%s comes out differently (-before +now). Two versions side by side, as during an upgrade, "+
				"would disagree on who owns these addresses. Do not change the file: change the code, or add a file for what is new.\n%s", path, diff)
		}
	}
}

// What an election depends on must be in its file, or the file would hold nothing.
func TestElectionsSurviveBeingWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genElection(t)
		read, _, err := readElection(writeElection(w))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(answer(Owners(w)), answer(Owners(read))); diff != "" {
			t.Fatalf("(-made up +read):\n%s", diff)
		}
	})
}
