package signaling

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/sallyport-net/sallyport/address"
)

// How many brokers of each generation a node listens on, and a caller that
// knows nothing but a key publishes to. A listener whose brokers are down moves
// on to the next ones of Home; a caller that publishes to two more meets it
// even when both of its first ones are gone.
const (
	ListenBrokers = 2
	CallBrokers   = 4
)

// Home gives the brokers where the owner of key is to be met, best first: the n
// best of the present generation, then those of the previous one that are not
// among them. So it gives n to 2n brokers, or fewer where the list is shorter.
//
// The best are those of highest random weight (Thaler and Ravishankar, 1998):
// the first 8 bytes, as a big-endian number, of
//
//	SHA-256("sallyport home 1" 0x00 key index)
//
// with the 33-byte compressed key and the index in two bytes, big-endian. An
// entry that comes or goes moves only the keys that it attracts or attracted.
func Home(key address.Key, n int) []address.Broker {
	return home(wellKnown, Generation, key.Bytes(), n)
}

// HomeOf is Home for what is no key, as a name: seed stands in the key's place.
// It must not have a key's length, so that the two never mix.
func HomeOf(seed string, n int) []address.Broker {
	return home(wellKnown, Generation, []byte(seed), n)
}

// Brokers gives the brokers by which to call the node that a belongs to: those
// that it names, or else the first ones of Home.
func Brokers(a address.Address) []address.Broker {
	if len(a.Brokers) > 0 {
		return slices.Clone(a.Brokers)
	}
	return Home(a.Key, CallBrokers)
}

func home(list []Operator, generation int, seed []byte, n int) []address.Broker {
	ranked := make([]int, len(list))
	weights := make([]uint64, len(list))
	for index := range list {
		ranked[index], weights[index] = index, weight(seed, index)
	}
	slices.SortStableFunc(ranked, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })

	var brokers []address.Broker
	for g := generation; g >= max(1, generation-1); g-- {
		left := n
		for _, index := range ranked {
			if left <= 0 {
				break
			}
			if op := list[index]; op.Since > g || op.Until != 0 && op.Until < g {
				continue
			}
			left--
			if b := (address.Broker{Index: index}); !slices.Contains(brokers, b) {
				brokers = append(brokers, b)
			}
		}
	}
	return brokers
}

func weight(seed []byte, index int) uint64 {
	h := sha256.New()
	h.Write([]byte("sallyport home 1\x00"))
	h.Write(seed)
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(index)))
	return binary.BigEndian.Uint64(h.Sum(nil))
}
