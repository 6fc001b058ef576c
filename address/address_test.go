package address

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-net/sallyport/nat"
)

func TestValidate(t *testing.T) {
	if err := home().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(a *Address)
		want  string
	}{
		"no id":             {func(a *Address) { a.Key = Key{} }, "exactly one of key and foreign node id"},
		"two ids":           {func(a *Address) { a.Foreign = "x" }, "exactly one of key and foreign node id"},
		"foreign like key":  {func(a *Address) { a.Key, a.Foreign = Key{}, strings.Repeat("x", 43) }, "foreign node id"},
		"foreign with dash": {func(a *Address) { a.Key, a.Foreign = Key{}, "a-b" }, "foreign node id"},
		"machine id":        {func(a *Address) { a.MachineID = "a-b" }, "machine id"},
		"long machine id":   {func(a *Address) { a.MachineID = strings.Repeat("x", 65) }, "machine id"},
		"nine brokers":      {func(a *Address) { a.Brokers = make([]Broker, 9) }, "9 brokers"},
		"a broker twice":    {func(a *Address) { a.Brokers[1] = a.Brokers[0] }, "stands there twice"},
		"broker of both":    {func(a *Address) { a.Brokers[1].Index = 1 }, "has an index as well"},
		"broker index":      {func(a *Address) { a.Brokers[0].Index = -1 }, "broker index -1"},
		"broker spelling":   {func(a *Address) { a.Brokers[1].URL = "MQTTS://my-broker.example" }, "must be written"},
		"broker scheme":     {func(a *Address) { a.Brokers[1].URL = "ftp://b.example:21" }, "one of the schemes"},
		"four interfaces":   {func(a *Address) { a.V4 = make([]Interface, 4) }, "4 IPv4 interfaces"},
		"wrong family":      {func(a *Address) { a.V6 = a.V4 }, "IPv6 interface 1: 203.0.113.7 is not an IPv6 address"},
		"mapped":            {func(a *Address) { a.V4[0].External = netip.MustParseAddr("::ffff:8.8.8.8") }, "is not an IPv4 address"},
		"no external":       {func(a *Address) { a.V4[0].External = netip.Addr{} }, "invalid IP is not an IPv4 address"},
		"unspecified":       {func(a *Address) { a.V4[0].Internal = netip.IPv4Unspecified() }, "0.0.0.0 is not"},
		"index":             {func(a *Address) { a.V4[0].Index = 65536 }, "indices 2 and 65536"},
		"port":              {func(a *Address) { a.V4[0].Port = 0 }, "port is 0"},
		"nat":               {func(a *Address) { a.V4[0].NAT = nat.TypeUnknown }, "unknown is no NAT type"},
		"delta":             {func(a *Address) { a.V4[0].Delta.Kind = 7 }, "is no delta"},
		"value too big":     {func(a *Address) { a.V4[0].Delta.Value = 32768 }, "delta value 32768"},
		"value for nothing": {func(a *Address) { a.V4[0].Delta.Kind = nat.Equal }, "delta equal has no value"},
		"negative trip":     {func(a *Address) { a.V4[0].BrokerRTT = -1 }, "broker round trip"},
		"long trip":         {func(a *Address) { a.V4[0].BrokerRTT = 65536 * time.Millisecond }, "broker round trip"},
	} {
		t.Run(name, func(t *testing.T) {
			a := home()
			c.spoil(&a)
			err := a.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate gives %v, which lacks %q", err, c.want)
			}
			if _, err := a.MarshalText(); err == nil {
				t.Error("it marshals all the same")
			}
			if c, err := a.Compact(); err == nil {
				t.Errorf("it has the compact form %q", c)
			}
			if b, err := Parse(a.String()); err == nil {
				t.Errorf("it prints as %q, which is read as %v", a, b)
			}
		})
	}
}

func TestEqualIsHowItIsWritten(t *testing.T) {
	same := map[string]func(a *Address){
		"external port spelled out":  func(a *Address) { a.V4[0].ExternalPort = a.V4[0].Port },
		"round trip below one ms":    func(a *Address) { a.V4[0].BrokerRTT = 22*time.Millisecond + 1 },
		"empty list instead of none": func(a *Address) { a.V6 = []Interface{} },
	}
	for name, change := range same {
		a, b := home(), home()
		a.V4[0].ExternalPort, b.V4[0].ExternalPort = 0, 0
		change(&b)
		if !a.Equal(b) || a.String() != b.String() {
			t.Errorf("%s: not equal", name)
		}
		ca, _ := a.Compact()
		if cb, _ := b.Compact(); ca != cb {
			t.Errorf("%s: two compact forms", name)
		}
	}
	other := map[string]func(a *Address){
		"broker":     func(a *Address) { a.Brokers[0].Index++ },
		"no brokers": func(a *Address) { a.Brokers = nil },
		"key":        func(a *Address) { a.Key = testKey(6) },
		"foreign":    func(a *Address) { a.Key, a.Foreign = Key{}, "x" },
		"machine id": func(a *Address) { a.MachineID += "0" },
		"interface":  func(a *Address) { a.V4 = append(a.V4, a.V4[0]) },
		"port":       func(a *Address) { a.V4[0].Port++ },
		"round trip": func(a *Address) { a.V4[0].BrokerRTT += time.Millisecond },
		"family":     func(a *Address) { a.V4, a.V6 = nil, a.V4 },
	}
	for name, change := range other {
		b := home()
		change(&b)
		if home().Equal(b) {
			t.Errorf("%s: equal", name)
		}
	}
}

// TestWritingLeavesTheAddressAlone writes one address from two goroutines, so
// that the race detector sees whoever touches it.
func TestWritingLeavesTheAddressAlone(t *testing.T) {
	a := home()
	a.V4[0].BrokerRTT = 1500 * time.Microsecond
	a.V4[0].ExternalPort = a.V4[0].Port
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := a.Compact(); err != nil {
				t.Error(err)
			}
			_ = a.String()
		})
	}
	wg.Wait()
	if a.V4[0].BrokerRTT != 1500*time.Microsecond || a.V4[0].ExternalPort != a.V4[0].Port {
		t.Errorf("the address is now %+v", a)
	}
}
