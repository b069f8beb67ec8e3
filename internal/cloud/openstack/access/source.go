package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/compat/occm"
)

// Source is where the configuration of a cloud comes from.
type Source struct {
	// Data is that of a Kubernetes Secret: cloud.conf, or clouds.yaml with perhaps
	// secure.yaml, and the files that they name.
	Data map[string][]byte
	// Cloud is the entry of clouds.yaml. Empty is the one that cloud.conf names, or
	// the only one.
	Cloud string
	// ReadFile reads what is named and not in Data; nil is os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// ErrNoConfiguration tells that a Secret has none of the keys.
var ErrNoConfiguration = errors.New("the Secret has neither a key cloud.conf nor a key clouds.yaml")

// ConfigError is an error of the configuration: no call would mend it.
type ConfigError struct{ err error }

func (e *ConfigError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *ConfigError) Unwrap() error { return e.err }

func wrong(format string, args ...any) error { return &ConfigError{fmt.Errorf(format, args...)} }

// Read makes one configuration of a Source: cloud.conf, with clouds.yaml for what it
// leaves open where it says use-clouds = true, or where an entry is asked for.
func Read(from Source) (*occm.Config, []occm.Warning, error) {
	text, has := from.Data["cloud.conf"]
	if _, hasClouds := from.Data["clouds.yaml"]; !has && !hasClouds {
		return nil, nil, ErrNoConfiguration
	}
	config, warnings, err := occm.ParseConfig(text)
	if err != nil {
		return nil, warnings, &ConfigError{err}
	}
	c := &config.Credentials
	if !has || c.UseClouds || from.Cloud != "" {
		if err := from.clouds(c); err != nil {
			return nil, warnings, err
		}
	}
	if c.CAFile == "" && len(from.Data["cacert"]) > 0 {
		c.CAFile = "cacert" // as Cluster API's credential Secrets have it
	}
	return config, warnings, nil
}

// file finds a file that the configuration names: in the Secret by its base name,
// since that is where a path into a mounted Secret leads, or else on disk.
func (s Source) file(key, path string) ([]byte, error) {
	if data, ok := s.Data[filepath.Base(path)]; ok {
		return data, nil
	}
	read := s.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	data, err := read(path)
	if err != nil {
		why := "cannot be read"
		if errors.Is(err, fs.ErrNotExist) {
			why = "is not there"
		}
		return nil, wrong("%s: the file %s %s, and the Secret has no key %s with its content", key, path, why, filepath.Base(path))
	}
	return data, nil
}

// expand takes ~ for the home directory, as gophercloud does.
func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}
