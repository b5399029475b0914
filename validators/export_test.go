package validators

// StablePaths is stablePaths for the tests outside the package.
var StablePaths = stablePaths
