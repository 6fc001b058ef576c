package stage

// Sight is a machine as its commands tell of it in JSON.
type Sight struct {
	Name     string `json:"name"`
	NAT      string `json:"nat,omitempty"`      // as --host has it; none on loopback
	IP       string `json:"ip,omitempty"`       // its own, in a laboratory
	External string `json:"external,omitempty"` // as the internet there sees it
	Target   string `json:"target"`             // of its node, once one runs
}

// Sights are the machines in the order in which they were added, but for the
// server. Targets are good once that one runs.
func (s *Stage) Sights() []Sight {
	all := []Sight{}
	for _, name := range s.order {
		if name == ServerName {
			continue
		}
		m := s.machines[name]
		seen := Sight{Name: name, NAT: m.nat, Target: m.target()}
		if m.host != nil {
			seen.IP, seen.External = m.host.Addr().String(), m.host.External().String()
		}
		all = append(all, seen)
	}
	return all
}
