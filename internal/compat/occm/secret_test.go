package occm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	const text = "hunter2"
	c := Config{Credentials: Credentials{
		Username: "k8s", Password: NewSecret(text), Token: NewSecret(text),
		ApplicationCredentialSecret: NewSecret(text), TrusteePassword: NewSecret(text),
	}}
	private := struct{ s Secret }{NewSecret(text)}
	for _, v := range []any{c.Credentials.Password, &c.Credentials.Password, c.Credentials, &c.Credentials, c, &c, private, []Secret{NewSecret(text)}, map[string]Secret{"a": NewSecret(text)}} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
		slog.New(slog.NewTextHandler(&out, nil)).Info("read", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("read", "value", v)
		if strings.Contains(out.String(), text) || strings.Contains(out.String(), fmt.Sprintf("%x", text)) {
			t.Errorf("%T shows its secret:\n%s", v, out.String())
		}
	}
	for _, s := range []string{c.Credentials.Password.String(), c.Credentials.Password.GoString(), fmt.Sprint(c.Credentials.Password), fmt.Sprintf("%#v", c.Credentials.Password)} {
		if s != hidden {
			t.Errorf("a secret prints %q, want %q", s, hidden)
		}
	}
	if got := c.Credentials.Password.Reveal(); got != text {
		t.Errorf("Reveal is %q", got)
	}
	if got := c.Credentials.Secrets(); len(got) != 4 {
		t.Errorf("Secrets are %d, want all four", len(got))
	}
	if (Secret{}).Given() || NewSecret("").Given() || !NewSecret("x").Equal(NewSecret("x")) || NewSecret("x").Equal(NewSecret("y")) {
		t.Error("Given or Equal is wrong")
	}
}
