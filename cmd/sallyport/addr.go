package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/sallyport-net/sallyport/address"
	"github.com/sallyport-net/sallyport/node/api"
	"github.com/sallyport-net/sallyport/node/nickname"
	"github.com/sallyport-net/sallyport/signaling"
)

func newAddr(a *app) *cobra.Command {
	var f nodeFlags
	var withQR, withCode, withCopy bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "addr [TARGET]",
		Short: "Show this node's address, or take one apart",
		Long: `Show this node's own address in every form, as "sallyport node" has it if
started now, or as the one in the background has it. The port in it is new at
every start, unless --port names one; the node id stays, and is enough to connect
to a node that runs.

With TARGET, an address in any form or a contact, take that one apart instead;
this needs no network. A nickname is looked up for it.

With --code, hand the address over by a code of a number and two words, which is
good for one use and proves to each side that it has the other's address.`,
		Example: `  sallyport addr
  sallyport addr --qr
  sallyport addr --code
  sallyport addr ADDRESS`,
		Args: atMostOneTarget,
	}
	f.register(a, c)
	c.Flags().BoolVar(&withQR, "qr", false, "draw the compact form as a QR code, too")
	c.Flags().BoolVar(&withCopy, "copy", false, "put the compact form on the clipboard, where the terminal lets it (OSC 52)")
	c.Flags().BoolVar(&withCode, "code", false, "print a one-time code for this node's address, and wait until it is taken")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "with --code, wait as long as `D`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if withQR && a.json {
			return misused("leave one of them out", "--json draws no QR code")
		}
		if withCode {
			if len(args) > 0 || withQR || withCopy {
				return misused("try sallyport addr --code", "--code is for this node's own address, and without --qr and --copy")
			}
			if err := f.settle(a, c); err != nil {
				return err
			}
			return a.offerAddress(c.Context(), &f, wait)
		}
		var self address.Address
		var err, late error
		var board clipboard
		if withCopy {
			if board, err = openClipboard(); err != nil {
				return err
			}
		}
		if len(args) == 1 {
			if nickname.LooksLikeName(args[0]) {
				err = f.settle(a, c)
			}
			if err == nil {
				self, err = a.resolve(c.Context(), &f, args[0])
			}
		} else if err = f.settle(a, c); err == nil {
			self, late, err = a.ownAddress(c.Context(), &f)
		}
		if err != nil {
			return err
		}
		p := api.AddressOf(self)
		switch {
		case a.json:
			emit(a.out, p)
		case len(args) == 1:
			explainAddress(a.out, p, self)
		default:
			fmt.Fprintf(a.out, "Address: %s\nCompact: %s\nNode id: %s\n", p.Address, p.Compact, p.ID)
		}
		if withCopy {
			board.put(compactly(self))
		}
		if withQR {
			if p.Compact == "" {
				return failed(nil, "ask the peer for its Sallyport address", "an address without a key has no compact form to draw")
			}
			if err := drawQR(a.out, p.Compact); err != nil {
				return err
			}
		}
		return late
	}
	return c
}

// ownAddress asks the node in the background, or starts one, for as long as it
// takes to know its networks. late is the failure of a node that has no network,
// whose address is known all the same.
func (a *app) ownAddress(ctx context.Context, f *nodeFlags) (self address.Address, late, err error) {
	if up := a.background(f); up != nil {
		st, err := up.Status(ctx)
		if err != nil {
			return self, nil, err
		}
		self, err = address.Parse(st.Address.Address)
		return self, nil, err
	}
	cfg, err := a.nodeConfig(ctx, f)
	if err != nil {
		return self, nil, err
	}
	none := signaling.Nobody()
	cfg.Admission = &none
	n, err := a.startNode(ctx, cfg, !f.portAsked)
	if err != nil {
		return self, nil, err
	}
	defer n.Close()
	self = n.Address()
	if broker, stun := n.Health(); broker != nil && stun != nil {
		late = &failure{
			status: statusNoNetwork, cause: stun,
			what: "no network: neither a signalling broker nor a STUN server could be reached, so that this address is good on the LAN at most",
			hint: "try another network, or --broker and --stun with servers that this one reaches",
		}
	} else {
		a.warnHealth(n)
	}
	return self, late, nil
}

// explainAddress is for people.
func explainAddress(w io.Writer, p api.Address, a address.Address) {
	var b strings.Builder
	fmt.Fprintf(&b, "Address: %s\n", p.Address)
	if p.Compact != "" {
		fmt.Fprintf(&b, "Compact: %s\n", p.Compact)
	}
	fmt.Fprintf(&b, "Node id: %s\n", p.ID)
	if !p.Key {
		fmt.Fprintln(&b, "         is not a key: nobody can prove to be that node, so that there is no connecting to it")
	}
	if p.MachineID != "" {
		fmt.Fprintf(&b, "Machine: %s\n", p.MachineID)
	}
	fmt.Fprintf(&b, "Brokers: %s\n", brokerNames(a))
	for n, i := range a.Interfaces() {
		fmt.Fprintf(&b, "%s %d:  seen at %s", p.Interfaces[n].Family, i.Index, i.ExternalEndpoint())
		if i.Internal != i.External {
			fmt.Fprintf(&b, ", on its own network at %s", i.InternalEndpoint())
		}
		fmt.Fprintf(&b, "; NAT: %s", i.NAT)
		if i.NAT.Translates() {
			fmt.Fprintf(&b, ", ports %s", i.Delta)
		}
		if i.BrokerRTT > 0 {
			fmt.Fprintf(&b, "; %v to its broker and back", i.BrokerRTT)
		}
		fmt.Fprintln(&b)
	}
	if len(p.Interfaces) == 0 {
		fmt.Fprintln(&b, "No interfaces: the node is asked over the brokers where it is.")
	}
	_, _ = io.WriteString(w, b.String())
}

func brokerNames(a address.Address) string {
	if len(a.Brokers) == 0 {
		return "those that follow from the key"
	}
	known := signaling.WellKnown()
	var names []string
	for _, b := range a.Brokers {
		switch {
		case b.URL != "":
			names = append(names, b.URL)
		case b.Index < len(known):
			names = append(names, fmt.Sprintf("%d (%s)", b.Index, known[b.Index].Name))
		default:
			names = append(names, fmt.Sprintf("%d (not known to this version)", b.Index))
		}
	}
	return strings.Join(names, ", ")
}

// drawQR draws with half blocks, two rows of the code to a line of text.
func drawQR(w io.Writer, text string) error {
	if _, err := qr.Encode(text, qr.L); err != nil {
		return failed(err, "hand it over as text, or by voice with --code", "the address is too long for a QR code")
	}
	qrterminal.GenerateWithConfig(text, qrterminal.Config{
		Level: qr.L, Writer: w, HalfBlocks: true, QuietZone: 2,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE,
		BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
	})
	return nil
}
