package occm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What gopkg.in/gcfg.v1 makes of each text was tried with that library.
func TestSyntaxIsGitConfigs(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"a value loses the space around it and keeps that inside", "[s]\n a =  1  2\t\n", "s|a=1  2"},
		{"the name alone", "[s]\na\nb ; c", "s|a!|b!"},
		{"an empty value is a value", "[s]\na=\nb = # c\nc=\"\"", "s|a=|b=|c="},
		{"comments end a value, even in a word", "[s] # x\na=b#c\nd=e ;f\n;g", "s|a=b~|d=e"},
		{"quotes keep space and comment signs", `[s]` + "\n" + `a=" b;#c "  ; d`, "s|a= b;#c "},
		{"quotes open and close anywhere", `[s]` + "\n" + `a=x" y "z "w"`, "s|a=x y z w"},
		{"escapes in quotes", `[s]` + "\n" + `a="\\\"\n\t"`, "s|a=\\\"\n\t"},
		{"a quote by backslash outside quotes", `[s]` + "\n" + `a=\"b\"`, `s|a="b"`},
		{"a backslash joins lines, with the space of both", "[s]\na=x \\\n  y\nb=1", "s|a=x   y|b=1"},
		{"carriage returns do not count", "[s]\r\na=b\r\nc=x\\\r\ny\r\n", "s|a=b|c=xy"},
		{"a byte order mark does not count", "\ufeff[s]\na=b", "s|a=b"},
		{"named sections keep case, quotes and backslashes", "[ C \"a B\\\"\\\\\" ]\nx=1", `C/a B"\|x=1`},
		{"letters of any script", "[größe]\nmaß=ü", "größe|maß=ü"},
		{"no end of line at the end", "[s]\na=\"b\"", "s|a=b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entries, err := scan([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := render(entries); got != tc.want {
				t.Errorf("scan(%q)\n got %q\nwant %q", tc.text, got, tc.want)
			}
		})
	}
}

// render is section/sub|name=value|name!, with ~ where a comment cut a word.
func render(entries []entry) string {
	var out []string
	for _, e := range entries {
		switch {
		case e.name == "" && e.sub != "":
			out = append(out, e.section+"/"+e.sub)
		case e.name == "":
			out = append(out, e.section)
		case e.blank:
			out = append(out, e.name+"!")
		case e.clipped:
			out = append(out, e.name+"="+e.value+"~")
		default:
			out = append(out, e.name+"="+e.value)
		}
	}
	return strings.Join(out, "|")
}

func TestWrongSyntaxIsNamedByLineAndNeverQuoted(t *testing.T) {
	const secret = "hunter2"
	for _, tc := range []struct{ text, want string }{
		{"a=" + secret, "line 1: a name before the first section: begin with [Global]"},
		{"[Global]\n\npassword: " + secret, `line 3: a ":" after a name: write name = value`},
		{"[Global]\nauth_url=" + secret, `line 2: names have "-" where this one has "_"`},
		{"[Global]\npassword " + secret, "line 2: no value for a name: write name = value"},
		{"[Global]\npassword = \"" + secret, "line 2: a quote does not end on this line"},
		{"[Global]\npassword = \"" + secret + "\n\"", "line 2: a quote does not end on this line"},
		{"[Global]\npassword = " + secret + `\x`, `line 2: a backslash outside quotes: put the value in double quotes, and write \\ for each backslash`},
		{"[Global]\npassword = \"" + secret + `\x"`, `line 2: a backslash in quotes begins \\ \" \n or \t: write \\ for a backslash`},
		{"[Global]\npassword = " + secret + `\`, "line 2: a backslash outside quotes"},
		{"[Global]\n= " + secret, "line 2: this is no section, name or comment"},
		{"[Global] " + secret, "line 1: text after a section's name: begin a new line"},
		{"[Global", "line 1: the section's name does not end"},
		{"[]", "line 1: a section needs a name"},
		{`[LoadBalancerClass ""]`, "line 1: the name in quotes is empty"},
		{`[LoadBalancerClass "x\y"]`, `line 1: a backslash in a section's name: write \\`},
		{"[LoadBalancerClass \"x\n\"]", "line 1: a quote does not end on this line"},
		{"[Global]\npassword = \xff" + secret, "line 2: a byte that is no UTF-8 text"},
		{"[Global]\n# \x00" + secret, "line 2: a byte that is no UTF-8 text"},
	} {
		_, err := scan([]byte(tc.text))
		if err == nil || !strings.HasPrefix(err.Error(), "cloud.conf "+tc.want) {
			t.Errorf("scan(%q): %v, want %s", tc.text, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error for %q repeats the secret: %v", tc.text, err)
		}
	}
}

func TestLinesAreCountedOverContinuations(t *testing.T) {
	entries, err := scan([]byte("# c\n[s]\na = x \\\n y \\\n z\nb = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, e := range entries {
		lines = append(lines, e.line)
	}
	if diff := cmp.Diff([]int{2, 3, 6}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
