package fake

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// newID makes identifiers that are the same in every run and yet in no order, as real
// ones: who relies on the order of ids should find out here.
func (c *Cloud) newID() string {
	c.serial++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("fairlead"), c.serial))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// stamp is what every object of Neutron and Octavia has.
type stamp struct {
	born    int // order of creation: time stamps have seconds only
	created time.Time
	updated time.Time // zero until the first change
}

func (c *Cloud) newStamp() stamp {
	c.born++
	return stamp{born: c.born, created: time.Now()}
}

// octaviaTime has no zone and no fraction, and is null before the first change.
func octaviaTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

func neutronTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (s stamp) neutron() (created, updated string) {
	if s.updated.IsZero() {
		return neutronTime(s.created), neutronTime(s.created)
	}
	return neutronTime(s.created), neutronTime(s.updated)
}
