package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/cloud/openstack/access"
)

// source is the way in: what the flags name, the Secret of a class while there is a
// cluster, or what the openstack command would use. The Secret goes before the
// environment, since that may still be set for another project.
func (p *purge) source(ctx context.Context, s *site, noCluster error) (access.Source, error) {
	switch {
	case p.cloud.config != "":
		return fileSource(p.cloud.config, p.cloud.entry)
	case p.cloud.entry != "":
		return cloudsSource(p.cloud.entry)
	}
	if s != nil {
		switch doors := s.doors(); {
		case len(doors) > 1:
			return access.Source{}, errors.New("the cluster's classes name more than one cloud: say which by --cloud-config FILE")
		case len(doors) == 1:
			from, refusal := s.source(ctx, &doors[0], &p.cloud)
			if refusal != nil {
				return from, errors.New(refusal.Message())
			}
			return from, nil
		}
	}
	switch {
	case os.Getenv("OS_CLOUD") != "":
		return cloudsSource(os.Getenv("OS_CLOUD"))
	case os.Getenv("OS_AUTH_URL") != "":
		return variables(os.Getenv)
	case noCluster != nil:
		return access.Source{}, fmt.Errorf("there are no credentials: give --cloud-config FILE, or --cloud ENTRY of clouds.yaml, or set OS_CLOUD (no cluster has a Secret with them: %w)", noCluster)
	}
	return access.Source{}, errors.New("there are no credentials: give --cloud-config FILE, or --cloud ENTRY of clouds.yaml, or set OS_CLOUD (no LoadBalancerClass has provider Octavia)")
}

// cloudsSource finds clouds.yaml where the openstack command does: $OS_CLIENT_CONFIG_FILE,
// the current folder, ~/.config/openstack, /etc/openstack.
func cloudsSource(entry string) (access.Source, error) {
	places := []string{os.Getenv("OS_CLIENT_CONFIG_FILE"), "clouds.yaml", "clouds.yml"}
	if config, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(config, "openstack", "clouds.yaml"), filepath.Join(config, "openstack", "clouds.yml"))
	}
	places = append(places, "/etc/openstack/clouds.yaml", "/etc/openstack/clouds.yml")
	for _, path := range places {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			return fileSource(path, entry)
		}
	}
	return access.Source{}, fmt.Errorf("there is no clouds.yaml with an entry %s: looked here, in ~/.config/openstack and in /etc/openstack", entry)
}

// variables makes an entry of clouds.yaml of the openstack command's variables, which
// an openrc file sets.
func variables(get func(string) string) (access.Source, error) {
	auth := make(map[string]string)
	for _, name := range []string{
		"auth_url", "username", "user_id", "password", "token", "project_id", "project_name", "tenant_id", "tenant_name",
		"domain_id", "domain_name", "user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name", "default_domain",
		"application_credential_id", "application_credential_name", "application_credential_secret", "trust_id",
	} {
		if value := get("OS_" + strings.ToUpper(name)); value != "" {
			auth[name] = value
		}
	}
	entry := map[string]any{"auth": auth}
	for key, value := range map[string]string{
		"region_name": get("OS_REGION_NAME"), "interface": cmp.Or(get("OS_INTERFACE"), get("OS_ENDPOINT_TYPE")), "cacert": get("OS_CACERT"),
		"cert": get("OS_CERT"), "key": get("OS_KEY"), "auth_type": get("OS_AUTH_TYPE"),
	} {
		if value != "" {
			entry[key] = value
		}
	}
	if insecure := strings.ToLower(get("OS_INSECURE")); insecure == "true" || insecure == "1" {
		entry["verify"] = false
	}
	// JSON is YAML.
	text, err := json.Marshal(map[string]any{"clouds": map[string]any{"environment": entry}})
	if err != nil {
		return access.Source{}, fmt.Errorf("read the variables OS_*: %w", err)
	}
	return access.Source{Data: map[string][]byte{"clouds.yaml": text}, Cloud: "environment"}, nil
}
