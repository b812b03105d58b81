module example.com/outside

go 1.26.0

require (
	chatbench v0.0.0
	golang.org/x/sys v0.49.0
)

replace chatbench => ../../../..
