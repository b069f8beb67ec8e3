package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// nginxPackages are nginx, the libraries it links, and a shell for kubectl exec.
var nginxPackages = []string{
	"nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g", "busybox-static",
}

// nginxConf serves what people expect of the nginx image, plus the pod's name.
const nginxConf = `user root;
worker_processes 1;
error_log /dev/stderr;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
	include mime.types;
	access_log /dev/stdout;
	server {
		listen 80;
		listen [::]:80;
		root /usr/share/nginx/html;
		location = / {
			default_type text/html;
			return 200 "<h1>Welcome to nginx!</h1>\n<p>$hostname</p>\n";
		}
	}
}
`

func nginx() image {
	return image{
		name: Nginx,
		from: strings.Join(nginxPackages, " ") + nginxConf,
		root: nginxRoot,
		config: v1.Config{
			Entrypoint:   []string{"nginx", "-g", "daemon off;"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
			StopSignal:   "SIGQUIT",
		},
	}
}

func nginxRoot(ctx context.Context, dir string) error {
	if err := unpackPackages(ctx, dir, nginxPackages); err != nil {
		return err
	}
	for _, waste := range []string{
		"usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/locale", "usr/lib/systemd", "lib/systemd",
		"usr/lib/x86_64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/gconv", "etc/nginx/sites-enabled", "etc/nginx/modules-enabled",
	} {
		if err := os.RemoveAll(filepath.Join(dir, waste)); err != nil {
			return err
		}
	}
	for _, d := range []string{"run", "tmp", "root", "proc", "sys", "dev", "var/log/nginx", "var/lib/nginx", "usr/share/nginx/html"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/passwd":                      "root:x:0:0:root:/root:/bin/sh\n",
		"etc/group":                       "root:x:0:\n",
		"etc/nginx/nginx.conf":            nginxConf,
		"usr/share/nginx/html/index.html": "<h1>Welcome to nginx!</h1>\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return linkApplets(ctx, dir)
}

// unpackPackages puts the files of Debian packages into dir. Nothing is
// installed and no package script runs.
func unpackPackages(ctx context.Context, dir string, names []string) error {
	work, err := os.MkdirTemp("", "fairlead-packages-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	download := func() ([]byte, error) {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, names...)...)
		cmd.Dir = work
		return cmd.CombinedOutput()
	}
	if _, err := download(); err != nil {
		// The package lists may be missing or older than the archive.
		if out, err := exec.CommandContext(ctx, "apt-get", "-q", "update").CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get update: %w\n%s", err, out)
		}
		if out, err := download(); err != nil {
			return fmt.Errorf("download %s: %w\n%s", strings.Join(names, " "), err, out)
		}
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range archives {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, dir).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w\n%s", filepath.Base(deb), err, out)
		}
	}
	return nil
}

// linkApplets makes sh, cat, ls and the rest of busybox available by name.
func linkApplets(ctx context.Context, dir string) error {
	busybox := filepath.Join(dir, "bin", "busybox")
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("list busybox applets: %w", err)
	}
	for _, applet := range strings.Fields(string(list)) {
		link := filepath.Join(dir, "bin", applet)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink("busybox", link); err != nil {
			return err
		}
	}
	return nil
}
