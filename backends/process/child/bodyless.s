// Without an assembly file the compiler would want bodies for the functions
// that package runtime lends this one.
