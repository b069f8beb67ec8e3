package demo

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/internal/status"
)

// announcedBy finds the node that announces addr in what fairlead status -o json
// printed.
func announcedBy(text string, addr netip.Addr) (string, error) {
	var s status.Snapshot
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return "", fmt.Errorf("read fairlead status: %w", err)
	}
	for _, line := range s.Services {
		if line.VIP != addr.String() {
			continue
		}
		if line.State != status.Announced {
			return "", fmt.Errorf("%s is %s: %s", addr, line.State, line.Message)
		}
		return line.Node, nil
	}
	return "", fmt.Errorf("fairlead status does not show %s", addr)
}

func readFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the manifests: %w", err)
	}
	return string(data), nil
}

// program is the fairlead beside the image that the demo installs.
func (s *story) program() string {
	path, err := filepath.Abs(s.Program)
	if err != nil {
		return s.Program
	}
	return path
}
