package node_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport-net/sallyport"

// mayImport says, for each package, which others of this module it may import
// in what is not a test: nat ← address ← signaling, punch ← node ← cmd. Commands
// are not in it: they may import all.
var mayImport = map[string][]string{
	"nat":                     {},
	"nat/errno":               {},
	"nat/natlab":              {"nat"},
	"nat/portmap":             {},
	"nat/portmap/miniupnpd":   {"nat/natlab"},
	"nat/probe":               {"nat", "nat/errno"},
	"address":                 {"nat"},
	"signaling":               {"address", "nat", "signaling/seal"},
	"signaling/seal":          {"address"},
	"signaling/reflector":     {"address", "signaling"},
	"signaling/signalingtest": {"address", "signaling"},
	"signaling/wsstream":      {},
	"signaling/proof":         {"address"},
	"signaling/mqtt":          {"address", "signaling", "signaling/proof", "signaling/wsstream"},
	"signaling/broker":        {"signaling", "signaling/proof", "signaling/wsstream"},
	"punch":                   {"address", "nat", "nat/errno"},
	"node/lan":                {"address", "nat/errno", "signaling/seal"},
	"node/link":               {"address"},
	"node/session":            {"address", "node/link"},
	"node/relay":              {"nat/errno"},
	"node/relay/coturn":       {},
	"node/circuit":            {"address", "node/link", "signaling"},
	"node/memory":             {},
	"node/netwatch":           {},
	"node/nickname":           {"address", "signaling", "signaling/mqtt"},
	"node/nickname/registry":  {"address", "node/nickname"},
	"node/transfer":           {},
	"node/tunnel":             {"nat/errno"},
	"node/socks":              {"node/tunnel"},
	"node/code":               {"address", "signaling", "signaling/mqtt"},
	"node/api":                {"address", "nat", "nat/probe", "node", "node/link", "node/session"},
	"node": {
		"address", "nat", "nat/errno", "nat/portmap", "nat/probe", "node/circuit", "node/lan", "node/link", "node/memory", "node/netwatch", "node/relay", "node/session", "punch",
		"signaling", "signaling/mqtt", "signaling/reflector",
	},
	"cmd/sallyport/internal/configfile": {},
	"cmd/sallyport/internal/control":    {"address", "node", "node/api", "node/session"},
	"cmd/sallyport/internal/forward":    {"address", "cmd/sallyport/internal/pipe", "nat/errno", "node", "node/api", "node/session", "node/socks", "node/tunnel"},
	"cmd/sallyport/internal/pipe":       {"nat/errno"},
	"cmd/sallyport/internal/program":    {"cmd/sallyport/internal/pipe", "node"},
	"cmd/sallyport/internal/serve": {
		"nat/errno", "nat/probe", "node/nickname", "node/nickname/registry", "node/relay", "signaling/broker", "signaling/proof",
	},
	"cmd/sallyport/internal/spare": {},
	"cmd/sallyport/internal/stage": {"address", "cmd/sallyport/internal/serve", "nat", "nat/natlab"},
	// For tests, and an example.
	"nat/natlab/natlabtest":       {"nat/natlab"},
	"nat/machinetest":             {},
	"signaling/broker/brokertest": {"signaling/broker"},
	"node/nodetest":               {"address", "node", "signaling/broker", "signaling/broker/brokertest"},
	"docs/examples/hello":         {"node"},
}

// onlyImporter says which package alone may import a foreign module.
var onlyImporter = map[string]string{
	"github.com/pion/stun/v2":                   "nat/probe",
	"github.com/pion/turn/v5":                   "node/relay",
	"github.com/pion/stun/v4":                   "node/relay",
	"github.com/eclipse/paho.mqtt.golang":       "signaling/mqtt",
	"github.com/mochi-mqtt/server/v2":           "signaling/broker",
	"github.com/google/nftables":                "nat/natlab",
	"github.com/spf13/cobra":                    "cmd/sallyport",
	"go.etcd.io/bbolt":                          "node/nickname/registry",
	"github.com/gtank/ristretto255":             "node/code",
	"github.com/decred/dcrd/dcrec/secp256k1/v4": "address",
}

func TestImportsPointDownwards(t *testing.T) {
	seen := 0
	for pkg, imports := range importsOf(t) {
		seen++
		allowed, known := mayImport[pkg]
		for _, path := range imports {
			if own, ok := strings.CutPrefix(path, module+"/"); ok {
				if (known || !strings.HasPrefix(pkg, "cmd/")) && !slices.Contains(allowed, own) {
					t.Errorf("%s imports %s", pkg, own)
				}
				if strings.HasPrefix(own, "cmd/") && !strings.HasPrefix(pkg, "cmd/") {
					t.Errorf("%s imports a command", pkg)
				}
			}
			for foreign, only := range onlyImporter {
				if (path == foreign || strings.HasPrefix(path, foreign+"/")) && pkg != only {
					t.Errorf("%s imports %s, which is left to %s", pkg, path, only)
				}
			}
		}
		if !known && !strings.HasPrefix(pkg, "cmd/") {
			t.Errorf("package %s has no place in the order yet: add it to mayImport", pkg)
		}
	}
	if seen < len(mayImport) {
		t.Errorf("only %d of %d packages were found", seen, len(mayImport))
	}
}

// importsOf reads what each package's files import, tests apart.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(filepath.ToSlash(path), "../")))
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(all[pkg], p) {
				all[pkg] = append(all[pkg], p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
