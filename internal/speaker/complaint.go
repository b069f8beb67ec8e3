package speaker

// complaint is the error that was logged last of a kind: the loop meets the same one at
// every look.
type complaint string

// fresh reports an error that was not logged yet, and takes it as logged.
func (c *complaint) fresh(err error) bool {
	if err == nil || err.Error() == string(*c) {
		return false
	}
	*c = complaint(err.Error())
	return true
}
