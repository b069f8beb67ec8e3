// Package build compiles the programs that a lab runs, once per machine.
//
// They come from the modules below lab/programs, as ordinary dependencies
// through the module proxy, and land in a cache that is keyed by everything
// that could change the result. None of their source is in this repository.
package build

import "time"

// family is one Go module and the programs built from it.
type family struct {
	name     string
	dir      string // below the repository
	env      []string
	args     []string // of go build
	sources  []string // part of the key, below the repository; for code of ours that has no version
	programs []program
}

type program struct {
	name  string
	pkg   string
	usual time.Duration // cold, alone on two cores
}

// Versions that the programs report; the modules' go.mod decide what is built.
const (
	Kubernetes = "v1.36.3"
	containerd = "v2.4.2"
	runc       = "v1.5.2"
	cni        = "v1.9.1"
)

// Names of the families, which are also the keys of Programs.
const (
	KubernetesFamily = "kubernetes"
	ContainerdFamily = "containerd"
	RuncFamily       = "runc"
	CNIFamily        = "cni"
	InsideFamily     = "inside"
	ImagesFamily     = "pause"
)

const (
	second = time.Second
	minute = time.Minute
)

var families = []family{
	{
		name: InsideFamily,
		dir:  ".",
		env:  []string{"CGO_ENABLED=0"},
		args: []string{"-ldflags", "-s -w"},
		sources: []string{
			"lab/inside", "lab/netns", "lab/cmd/inside",
		},
		programs: []program{{"inside", "fairlead.dev/fairlead/lab/cmd/inside", 10 * second}},
	},
	{
		name:     ImagesFamily,
		dir:      ".",
		env:      []string{"CGO_ENABLED=0"},
		args:     []string{"-ldflags", "-s -w"},
		sources:  []string{"lab/images/pause"},
		programs: []program{{"pause", "fairlead.dev/fairlead/lab/images/pause", 5 * second}},
	},
	{
		name: KubernetesFamily,
		dir:  "lab/programs/kubernetes",
		env:  []string{"CGO_ENABLED=0"},
		// Without these a kubelet calls itself v0.0.0 and the API server distrusts it.
		args: []string{"-ldflags", "-s -w" +
			" -X k8s.io/component-base/version.gitVersion=" + Kubernetes +
			" -X k8s.io/component-base/version.gitMajor=1" +
			" -X k8s.io/component-base/version.gitMinor=36" +
			" -X k8s.io/component-base/version.gitTreeState=clean"},
		programs: []program{
			{"kubectl", "k8s.io/kubernetes/cmd/kubectl", 2 * minute},
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 4 * minute},
			{"etcd", "go.etcd.io/etcd/server/v3", 30 * second},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 90 * second},
			{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", 20 * second},
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", 20 * second},
			{"kubelet", "k8s.io/kubernetes/cmd/kubelet", 2 * minute},
		},
	},
	{
		name: ContainerdFamily,
		dir:  "lab/programs/containerd",
		env:  []string{"CGO_ENABLED=0"},
		// Those snapshotters need C headers, and overlayfs is all a lab uses.
		args: []string{"-tags", "no_btrfs no_zfs no_devmapper",
			"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version=" + containerd},
		programs: []program{
			{"containerd", "github.com/containerd/containerd/v2/cmd/containerd", 90 * second},
			{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", 10 * second},
			{"ctr", "github.com/containerd/containerd/v2/cmd/ctr", 20 * second},
		},
	},
	{
		name: RuncFamily,
		dir:  "lab/programs/runc",
		env:  []string{"CGO_ENABLED=1"}, // its first stage is C
		// containerd gives every sandbox a seccomp profile, and a runc without the tag refuses it.
		args: []string{"-tags", "seccomp netgo osusergo",
			"-ldflags", "-s -w -extldflags -static -X main.version=" + runc[1:]},
		programs: []program{{"runc", "github.com/opencontainers/runc", 30 * second}},
	},
	{
		name: CNIFamily,
		dir:  "lab/programs/cni",
		env:  []string{"CGO_ENABLED=0"},
		args: []string{"-ldflags", "-s -w -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=" + cni},
		programs: []program{
			{"bridge", "github.com/containernetworking/plugins/plugins/main/bridge", 15 * second},
			{"loopback", "github.com/containernetworking/plugins/plugins/main/loopback", 5 * second},
			{"ptp", "github.com/containernetworking/plugins/plugins/main/ptp", 5 * second},
			{"host-local", "github.com/containernetworking/plugins/plugins/ipam/host-local", 5 * second},
			{"portmap", "github.com/containernetworking/plugins/plugins/meta/portmap", 5 * second},
		},
	},
}
