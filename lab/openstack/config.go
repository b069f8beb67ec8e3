package openstack

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

// files are the templates of configurations, and Python that runs in the services.
//
//go:embed files
var files embed.FS

// chassis is the pretended host that ports can be bound to.
const chassis = "lab-compute-1"

// settings is what the templates may use.
type settings struct {
	Dir                            string
	OVN                            bool
	Chassis                        string
	AuthURL, OctaviaURL, RabbitURL string
	NeutronPort, OctaviaPort       int
	Region, Password               string
	AmphoraNetwork, AmphoraGroup   string
	Database                       string // of the service whose section is written
}

// For is the settings with the database of one service.
func (s settings) For(database string) settings {
	s.Database = database
	return s
}

func (r *run) settings() settings {
	// Octavia reads its file also for the migration, before the ids are known.
	const unknown = "00000000-0000-4000-8000-000000000000"
	s := settings{
		Dir: r.options.Dir, OVN: !r.options.NoOVN, Chassis: chassis,
		AuthURL: authURL, OctaviaURL: octaviaURL, RabbitURL: "rabbit://guest:guest@127.0.0.1:5672//",
		NeutronPort: neutronPort, OctaviaPort: octaviaPort,
		Region: region, Password: password,
		AmphoraNetwork: unknown, AmphoraGroup: unknown,
	}
	if a := r.cloud.Amphora; a.Network != "" {
		s.AmphoraNetwork, s.AmphoraGroup = a.Network, a.SecurityGroup
	}
	return s
}

// render fills in one of the templates.
func render(name string, s settings) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/sections.conf", "files/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// configure writes all configurations.
func (r *run) configure() error {
	for _, name := range []string{"keystone.conf", "neutron.conf", "neutron-paste.ini", "octavia.conf", "rabbitmq.conf"} {
		data, err := render(name, r.settings())
		if err != nil {
			return fmt.Errorf("configure %s: %w", name, err)
		}
		if err := os.WriteFile(r.path("conf", name), data, 0o600); err != nil {
			return err
		}
	}
	python, err := fs.Sub(files, "files/python")
	if err != nil {
		return err
	}
	// CopyFS does not write over what is there.
	if err := os.RemoveAll(r.path("python")); err != nil {
		return err
	}
	return os.CopyFS(r.path("python"), python)
}

// writeFernetKeys makes what "keystone-manage fernet_setup" and
// "credential_setup" make, without starting Python twice: key 0 is the staged
// one, key 1 the primary.
func (r *run) writeFernetKeys() error {
	for _, name := range []string{"fernet/0", "fernet/1", "credential/0", "credential/1"} {
		path := r.path("keys", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		key := make([]byte, 32)
		rand.Read(key)
		if err := os.WriteFile(path, []byte(base64.URLEncoding.EncodeToString(key)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeCA makes the certificates that Octavia signs those of amphorae with,
// and shows to them. No amphora ever sees one, but Octavia reads them.
func (r *run) writeCA() error {
	caKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "octavia lab CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	clientKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "octavia lab client"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	clientDER, err := x509.CreateCertificate(rand.Reader, client, ca, &clientKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	for name, parts := range map[string][]pem.Block{
		"ca.pem":     {{Type: "CERTIFICATE", Bytes: caDER}},
		"ca.key":     {{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(caKey)}},
		"client.pem": {{Type: "CERTIFICATE", Bytes: clientDER}, {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(clientKey)}},
	} {
		var b bytes.Buffer
		for _, p := range parts {
			if err := pem.Encode(&b, &p); err != nil {
				return err
			}
		}
		if err := os.WriteFile(r.path("ca", name), b.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// environment is all that services inherit: nothing of the caller's, whose
// OS_*, PYTHON* and proxies would lead them astray.
func (r *run) environment() []string {
	return []string{
		dirVariable + "=" + r.options.Dir,
		"HOME=" + r.path("home"),
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"PYTHONPATH=" + r.path("python"),
		"PYTHONDONTWRITEBYTECODE=1",
		"PYTHONWARNINGS=ignore",
	}
}
