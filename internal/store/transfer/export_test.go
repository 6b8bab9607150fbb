package transfer

// SmallPages makes pages small until the function that it returns is called.
func SmallPages() (restore func()) {
	before := pageSize
	pageSize = 7
	return func() { pageSize = before }
}
