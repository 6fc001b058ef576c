package nat

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seenBy reads what a probe saw, in the order of time: the local port, the
// external one, and the server's number, with a colon where it was its other
// port.
func seenBy(t *testing.T, text string) (h Heard) {
	t.Helper()
	port := func(s string) uint16 {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		return uint16(n)
	}
	for i, f := range strings.Fields(text) {
		local, rest, _ := strings.Cut(f, ">")
		external, number, _ := strings.Cut(rest, "@")
		number, other := strings.CutSuffix(number, ":")
		h.Mappings = append(h.Mappings, Mapping{
			Local: netip.AddrPortFrom(localIP, port(local)), External: netip.AddrPortFrom(externalIP, port(external)),
			Server: server(int(port(number)), false, other), Sent: time.Unix(1, int64(i)), At: time.Unix(2, int64(i)),
		})
	}
	h.Asked = 4
	return h
}

// TestCrowdedRange has what probes saw of NATs with less than two hundred
// ports, of which enough were taken to break the rows. All but the last two are
// symmetric and dependent +7, with ports kept by a second NAT but for those
// that it had given away; the last but one is dependent -1, the last random.
// Whoever is not right about them must be unsure.
func TestCrowdedRange(t *testing.T) {
	seven := Delta{Dependent, 7}
	const udp = `52651>64870@4 52651>64974@1 52651>64884@2 52651>64915@3 52651>64931@1: 52651>64863@2:
		53560>64995@1 53600>64912@2 53435>65019@3 53497>64959@4
		34102>65034@1 34103>65041@2 34104>64850@3 34105>64857@4 34106>64864@1`
	for _, c := range []struct {
		name      string
		tcp, udp  string
		alone     Delta // by TCP alone, if it is sure
		aloneSure bool
		want      Delta // with UDP
		sure      bool
	}{
		{"restarted, and one displaced",
			`40437>59581@1 40437>59574@2 40437>59484@3 40437>59611@4 35131>59478@1 35196>59513@3 35028>59570@4 35106>59564@2 40437>59481@1:
			48374>59597@1 48375>59604@3 48376>59563@4 48377>20008@2 48378>59577@1 36715>59635@1`, udp, seven, false, seven, true},
		{"restarted twice, and one displaced",
			`37251>56995@1 37251>56934@2 37251>57061@3 37251>56921@4 37251>56953@1: 34753>57005@1 34595>56926@2 34639>57013@3 34722>57111@4
			35874>56988@1 35875>21338@2 35876>56920@3 35877>56927@4 35878>57071@1 42579>57093@1`, udp, seven, false, seven, true},
		{"a row across a port that was asked before",
			`43025>26697@1 43025>26685@2 43025>26615@3 43025>26561@4 43025>26632@2: 54063>26557@2 53982>26630@1 54105>26673@3 54090>26658@4
			54086>26621@2 54087>26628@1 54088>26635@3 54089>26642@4 54090>26649@2 33525>26535@2`, udp, seven, true, seven, true},
		{"taken for +1, and thus for preserving",
			`38975>35907@1 38975>35860@2 38975>35890@3 38975>35997@4 38880>35976@1 38979>35867@2 38936>36003@3 38856>35952@4 38975>35982@1:
			40109>35961@1 40110>35968@2 40111>35975@3 40112>58755@4 40113>35983@1 44059>35814@1`, udp, seven, false, seven, true},
		{"taken for a counter downwards",
			`44369>48082@1 44369>48036@2 44369>48052@3 44369>48046@4 52773>48007@3 52803>48043@1 52732>48001@2 52750>48100@4 44369>47994@1:
			43931>48079@3 43932>48086@1 43933>48093@2 43934>48100@4 43935>48107@3 44127>48070@1`, udp, seven, true, seven, true},
		{"others that are seven apart by accident",
			`35663>51002@1 35663>51098@2 35663>51025@3 35663>51109@4 38752>51106@4 38705>51165@1 38758>51172@3 38829>51113@2 35663>51034@1:
			53636>50999@4 53637>51006@1 53638>51013@3 53639>51020@2 53640>51027@4 34867>51162@1`, udp, Delta{Independent, 7}, false, Delta{Independent, 7}, false},
		{"two rows that are broken twice each",
			`38911>61068@4 38911>60932@1 38911>60944@2 38911>61049@3 38911>61046@1: 38911>60925@2: 58975>60960@1 58831>60962@3 58894>60995@4 58826>61091@2
			54336>61042@1 54337>60988@3 54338>61006@4 54339>61013@2 54340>61020@1 56536>61054@1 56537>61061@3 56538>60953@4 56539>61050@2 56540>61057@1`, "", seven, false, seven, false},
		{"a step of one, which others seem to continue",
			`40495>14131@1 40495>14131@2 40495>14131@3 40495>14131@4 53545>14259@2 53472>14179@4 53592>14177@3 53616>14181@1
			42742>14171@2 42743>14170@4 42744>14169@3 42745>14168@1 42746>14167@2 37179>14255@2`, "", Delta{}, false, Delta{Independent, -1}, false},
		{"random",
			`35207>26947@1 35207>27058@2 35207>26971@3 35207>27008@4 44884>26943@1 44924>27052@2 44875>27015@3 44860>26980@4 35207>26953@1:
			38079>27035@1 38080>27057@2 38081>26970@3 38082>26976@4 38083>26979@1 34511>26954@1`,
			`41377>26952@4 41377>26960@1 41377>26971@2 41377>27029@3 41377>26987@2: 41377>26953@1: 59316>27044@3 59334>27013@2 59407>26927@4 59457>27047@1
			38106>26986@3 38107>27005@2 38108>27019@4 38109>27000@1 38110>27055@3 51544>26973@3 51545>27010@2 51546>27027@4 51547>27048@1 51548>26941@3`,
			Delta{Kind: Random}, false, Delta{Kind: Random}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Samples{Local: localIP, TCP: seenBy(t, c.tcp)}
			if f := Assemble(s).TCP; (f.Confidence >= sureEnough) != c.aloneSure || c.aloneSure && f.Delta != c.alone {
				t.Errorf("by TCP alone %v (%.2f)", f.Delta, f.Confidence)
			}
			s.UDP = seenBy(t, c.udp)
			if f := Assemble(s).TCP; f.Delta != c.want || (f.Confidence >= sureEnough) != c.sure {
				t.Errorf("with UDP %v (%.2f)", f.Delta, f.Confidence)
			}
		})
	}
}

// TestRandomIsNotTakenForDependent draws rows from a NAT without any pattern:
// hardly ever may it seem to have one, and in a small range one row is not
// enough to say so.
func TestRandomIsNotTakenForDependent(t *testing.T) {
	for _, size := range []int{200, 2000, 64512} {
		const n = 1000
		wrong, unsure := 0, 0
		for seed := range uint64(n) {
			m := newModel(seed, AddressAndPortDependent, EndpointIndependent, Delta{Kind: Random})
			m.lo, m.hi = 1024, 1024+size-1
			m.reset()
			h := m.hear(4)
			v := ClassifyDelta(h.Mappings, ClassifyMapping(h.Mappings))
			if v.Confidence < sureEnough {
				unsure++
			} else if v.Delta.Kind != Random {
				wrong++
			}
		}
		if wrong > n/100 || (unsure > n/2) != (size < 1000) {
			t.Errorf("in a range of %d: %d wrong and %d unsure of %d", size, wrong, unsure, n)
		}
	}
}
