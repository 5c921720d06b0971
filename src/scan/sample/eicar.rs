//! The EICAR test file.

use std::hint::black_box;

/// The 68 bytes of the EICAR test file, which every virus scanner reports as infected.
///
/// They are assembled at run time, so that no scanner finds them in this crate or in a program built with it.
pub(crate) fn eicar() -> Vec<u8> {
    // Every byte is one too high. `black_box` keeps the result out of the compiled program.
    let raised =
        black_box(br#"Y6P"Q&ABQ\5]Q[Y65)Q_*8DD*8~%FJDBS.TUBOEBSE.BOUJWJSVT.UFTU.GJMF"%I,I+"#);
    raised.iter().map(|byte| byte - 1).collect()
}
