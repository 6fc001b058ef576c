package portmap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const (
	maxXML   = 128 << 10 // bytes of a description or an answer
	maxDepth = 24        // of nested elements; a description has about ten
)

// The services that map ports, best first.
var (
	connections = []string{
		"urn:schemas-upnp-org:service:WANIPConnection:2", // IGD 2: has AddAnyPortMapping
		"urn:schemas-upnp-org:service:WANIPConnection:1",
		"urn:schemas-upnp-org:service:WANPPPConnection:1",
	}
	firewalls = []string{"urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"}
)

// service is one that a description lists.
type service struct {
	kind    string
	control *url.URL
}

// walk calls leaf with the path and text of every element that holds text
// only. It bounds the depth; who calls bounds the size.
func walk(b []byte, leaf func(name, text string), end func(name string)) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	depth, text, open := 0, "", false
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("upnp: the router's XML: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return errors.New("upnp: the router's XML is nested too deep")
			}
			text, open = "", true
		case xml.CharData:
			if open {
				text += string(t)
			}
		case xml.EndElement:
			depth--
			if open {
				leaf(t.Name.Local, strings.TrimSpace(text))
			}
			open = false
			end(t.Name.Local)
		}
	}
}

// parseDescription picks the best service of wanted from a device description
// that was fetched from base. Its control URL is on the gateway, or it fails.
func parseDescription(b []byte, base *url.URL, gateway netip.Addr, wanted []string) (service, error) {
	best, control := len(wanted), ""
	kind, path := "", ""
	err := walk(b, func(name, text string) {
		switch name {
		case "serviceType":
			kind = text
		case "controlURL":
			path = text
		}
	}, func(name string) {
		if name != "service" {
			return
		}
		if k := slices.Index(wanted, kind); k >= 0 && k < best && path != "" {
			best, control = k, path
		}
		kind, path = "", ""
	})
	if err != nil {
		return service{}, err
	}
	if control == "" {
		return service{}, errors.New("upnp: the gateway describes no service that maps ports")
	}
	u, err := onGateway(base, control, gateway)
	return service{wanted[best], u}, err
}
