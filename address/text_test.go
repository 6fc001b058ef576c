package address

import "testing"

func TestVectorsOfP2PD(t *testing.T) {
	for in, want := range map[string]string{
		"0,1-[1,0,8.8.8.8,192.168.21.21,58959,3,2,0]-0-zmUGXPOFxUBuToh-easdasd":                                                                                "",
		"2-[3,0,51.51.51.8,10.0.0.5,10001,6,4,2]-0-d136e9438ef1b044c2f3afb45-mid":                                                                              "",
		"None-0-[4,0,2a00:1450:0000:0000:0000:0000:0000:0006,2a00:1450:0000:0000:0000:0000:0000:0006,10001,5,2,0]-d136e9438ef1b044c2f3afb45-mid":               "None-0-[4,0,2a00:1450::6,2a00:1450::6,10001,5,2,0]-d136e9438ef1b044c2f3afb45-mid",
		"1,0-[1,0,51.51.51.101,51.51.51.101,10002,1,2,0]-0-d172402f56704bd08938d20b3-451224afc78576ce355653dd5cb3657384753fe6ad6807c39a78639e7c39ebec":         "",
		"mqtts://my%2Dbroker.example:8883-0-[4,0,2a00:1450::6,2a00:1450::6,10001,5,5,65534,10001,17]|[4,1,fe80::1,fe80::1,1,1,1,0]-d136e9438ef1b044c2f3afb45-": "",
	} {
		if want == "" {
			want = in
		}
		a, err := Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if got := a.String(); got != want {
			t.Errorf("%q\nprints as %q\nnot       %q", in, got, want)
		}
	}
}
