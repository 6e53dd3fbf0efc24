
#[used]
static BUILT_AT: &str = env!("LIGHTSHIP_BUILT_AT");
