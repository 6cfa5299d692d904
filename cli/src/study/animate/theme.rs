//! The colours of every role, light and dark. Text has a contrast of at least 4.5 to what it stands on (WCAG 2.2, 1.4.3), and no
//! role is told by its colour alone: padding is dashed, what is cut off is struck through, what a step uses is outlined.

use super::scene::Role;

/// A colour, `0xRRGGBB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour(pub u32);

impl Colour {
    /// Six hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:06x}", self.0)
    }

    /// Red, green, blue.
    pub const fn channels(self) -> [u8; 3] {
        let [_, red, green, blue] = self.0.to_be_bytes();
        [red, green, blue]
    }
}

/// How a cell is filled, bordered and written.
#[derive(Clone, Copy, Debug)]
pub struct Ink {
    pub fill: Colour,
    pub stroke: Colour,
    pub text: Colour,
}

/// The colours of one picture.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub page: Colour,
    pub text: Colour,
    /// Text of less importance.
    pub muted: Colour,
    /// Outlines and arrows.
    pub accent: Colour,
    dark: bool,
}

impl Palette {
    pub const LIGHT: Self = Self {
        page: Colour(0xff_ff_ff),
        text: Colour(0x1f_23_28),
        muted: Colour(0x57_60_6a),
        accent: Colour(0xc2_41_0c),
        dark: false,
    };
    pub const DARK: Self = Self {
        page: Colour(0x0d_11_17),
        text: Colour(0xe6_ed_f3),
        muted: Colour(0x9d_a7_b3),
        accent: Colour(0xff_b4_54),
        dark: true,
    };

    pub const fn ink(&self, role: Role) -> Ink {
        let [fill, stroke, text] = if self.dark { dark(role) } else { light(role) };
        Ink { fill: Colour(fill), stroke: Colour(stroke), text: Colour(text) }
    }

    /// Every colour that occurs.
    pub fn colours(&self) -> Vec<Colour> {
        let mut colours = vec![self.page, self.text, self.muted, self.accent];
        for role in Role::ALL {
            let Ink { fill, stroke, text } = self.ink(role);
            colours.extend([fill, stroke, text]);
        }
        colours
    }
}

/// Whether a role's cells have a dashed border.
pub const fn dashed(role: Role) -> bool {
    matches!(role, Role::Padding | Role::Inserted)
}

const fn light(role: Role) -> [u32; 3] {
    match role {
        Role::Absent | Role::Pending => [0xff_ff_ff, 0xd0_d7_de, 0x57_60_6a],
        Role::Input => [0xcf_e3_fb, 0x6c_9b_d1, 0x0b_2e_59],
        Role::Padding => [0xf3_f4_f6, 0xa5_ad_b6, 0x57_60_6a],
        Role::Inserted => [0xff_ff_ff, 0xa5_ad_b6, 0x57_60_6a],
        Role::Tap => [0xe8_dc_fb, 0xa4_85_d6, 0x3d_1c_72],
        Role::Active => [0xff_c1_5e, 0xb3_59_00, 0x2b_16_00],
        Role::Sum => [0xd3_f0_ee, 0x5f_b3_ad, 0x0a_40_3c],
        Role::Output => [0xcd_ec_cf, 0x5f_ae_66, 0x0c_3d_14],
        Role::Current => [0x1a_7f_37, 0x0c_52_23, 0xff_ff_ff],
        Role::Cropped => [0xe4_e6_e9, 0xc3_c8_ce, 0x57_60_6a],
        Role::OutputPadding => [0xff_d6_e7, 0xd4_6a_96, 0x5c_0f_33],
    }
}

const fn dark(role: Role) -> [u32; 3] {
    match role {
        Role::Absent | Role::Pending => [0x0d_11_17, 0x3a_42_4c, 0x9d_a7_b3],
        Role::Input => [0x12_30_5a, 0x3f_77_be, 0xcf_e3_fb],
        Role::Padding => [0x16_1b_22, 0x55_5d_68, 0x9d_a7_b3],
        Role::Inserted => [0x0d_11_17, 0x55_5d_68, 0x9d_a7_b3],
        Role::Tap => [0x37_24_5e, 0x8a_66_c9, 0xe3_d5_fb],
        Role::Active => [0xf0_a0_30, 0xff_d2_8a, 0x20_10_00],
        Role::Sum => [0x0f_3f_3c, 0x3f_94_8d, 0xc4_f0_ec],
        Role::Output => [0x12_40_1d, 0x3f_94_50, 0xc9_ef_cf],
        Role::Current => [0x4a_c2_6b, 0xa6_e9_b6, 0x04_21_0c],
        Role::Cropped => [0x22_27_2e, 0x4a_52_5c, 0x9d_a7_b3],
        Role::OutputPadding => [0x5a_1f_3b, 0xc2_68_8f, 0xff_d6_e7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: Colour) -> f64 {
        let linear = |channel: u8| match f64::from(channel) / 255.0 {
            low if low <= 0.040_45 => low / 12.92,
            high => ((high + 0.055) / 1.055).powf(2.4),
        };
        let [red, green, blue] = colour.channels().map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(a: Colour, b: Colour) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_both_themes() {
        assert!((contrast(Colour(0), Colour(0xff_ff_ff)) - 21.0).abs() < 1e-9);
        for palette in [Palette::LIGHT, Palette::DARK] {
            for role in Role::ALL {
                let ink = palette.ink(role);
                assert!(contrast(ink.fill, ink.text) >= 4.5, "{role:?} {}", contrast(ink.fill, ink.text));
            }
            for colour in [palette.text, palette.muted, palette.accent] {
                assert!(contrast(palette.page, colour) >= 4.5, "{colour:?} {}", contrast(palette.page, colour));
            }
        }
    }

    #[test]
    fn roles_are_told_apart() {
        for palette in [Palette::LIGHT, Palette::DARK] {
            for (i, a) in Role::ALL.iter().enumerate().skip(1) {
                for b in &Role::ALL[i + 1..] {
                    let same = palette.ink(*a).fill == palette.ink(*b).fill;
                    assert!(!same || dashed(*a) != dashed(*b), "{a:?} looks like {b:?}");
                }
            }
        }
    }
}
