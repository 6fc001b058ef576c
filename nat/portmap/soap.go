package portmap

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
)

// arg is one argument of an action; they have an order.
type arg struct{ name, value string }

func soapRequest(kind, action string, args []arg) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:%s xmlns:u="%s">`, action, kind)
	for _, a := range args {
		fmt.Fprintf(&b, "<%s>", a.name)
		_ = xml.EscapeText(&b, []byte(a.value))
		fmt.Fprintf(&b, "</%s>", a.name)
	}
	fmt.Fprintf(&b, "</u:%s></s:Body></s:Envelope>", action)
	return b.Bytes()
}

// parseSOAP gives the values of an answer by their names; a fault is a
// RefusedError with UPnP's code.
func parseSOAP(b []byte) (map[string]string, error) {
	values, fault := map[string]string{}, false
	err := walk(b, func(name, text string) {
		if len(values) < 32 {
			values[name] = text
		}
	}, func(name string) { fault = fault || name == "Fault" })
	if err != nil {
		return nil, err
	}
	if fault {
		code, _ := strconv.ParseUint(values["errorCode"], 10, 16)
		return nil, &RefusedError{UPnP, int(code), strconv.Quote(cut(values["errorDescription"], 80))}
	}
	return values, nil
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
