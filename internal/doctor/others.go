package doctor

// orAnother is put behind what was found of an answer that another server on the same
// database may have given, and elsewhere behind what to do about it.
const (
	orAnother = " (another server on this database may have answered)"
	elsewhere = "; signet doctor on the machine of each server says which it is"
)

// others are these two where there may be other servers, and empty where there are none.
func (v *visit) others() (found, advice string) {
	if v.Deployment == nil || !v.Deployment.Shared {
		return "", ""
	}
	return orAnother, elsewhere
}
