"""Reading federations from files, folders, tables and arrays; what is said when that cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unpooled.errors import BadData, BadSetting
from unpooled.sites.loading import load_sites, read_sites
from unpooled.sites.site import Samples
from unpooled.sites.transports.in_process import InProcess

BERLIN = pd.DataFrame({"age": [30, 41, 52], "sex": ["f", "m", "f"], "ill": [0, 1, 1]})
PARIS = pd.DataFrame({"age": [63.5, None], "sex": ["m", "x"], "ill": [1, 0]})


def train(federation: InProcess, name: str) -> Samples:
    return federation[name].require_train()


def assert_same(one: InProcess, other: InProcess) -> None:
    assert one.names == other.names
    assert one.schema == other.schema
    for name in one.names:
        np.testing.assert_array_equal(train(one, name).X, train(other, name).X)
        np.testing.assert_array_equal(train(one, name).y, train(other, name).y)


def write(folder: Path, kind: str, **frames: pd.DataFrame) -> Path:
    for name, frame in frames.items():
        if kind == "npz":
            arrays: dict[str, Any] = {str(name): cells.to_numpy() for name, cells in frame.items()}
            plain = {name: a if a.dtype.kind in "if" else a.astype(str) for name, a in arrays.items()}
            np.savez(folder / f"{name}.npz", allow_pickle=False, **plain)
        elif kind == "parquet":
            frame.to_parquet(folder / f"{name}.parquet")
        else:
            frame.to_csv(folder / f"{name}.{kind}", index=False)
    return folder


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "npz"])
def test_every_kind_of_file_gives_the_federation_of_its_frames(tmp_path: Path, kind: str) -> None:
    from_files = load_sites(write(tmp_path, kind, paris=PARIS, berlin=BERLIN), target="ill")
    assert_same(from_files, load_sites({"berlin": BERLIN, "paris": PARIS}, target="ill"))
    assert from_files.names == ("berlin", "paris")
    assert from_files.schema is not None
    assert from_files.schema.features == ("age", "sex=f", "sex=m", "sex=x")
    assert from_files.schema.classes == ("0", "1")
    assert from_files.schema.shape == (4,)
    assert train(from_files, "paris").X.dtype == np.float32
    assert train(from_files, "paris").y.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "npz"])
def test_one_table_with_a_site_column_gives_the_same_federation(tmp_path: Path, kind: str) -> None:
    table = pd.concat([PARIS.assign(town="paris"), BERLIN.assign(town="berlin")])
    expected = load_sites({"berlin": BERLIN, "paris": PARIS}, target="ill")
    write(tmp_path, kind, all=table)
    assert_same(load_sites(tmp_path / f"all.{kind}", target="ill", site="town"), expected)
    assert_same(load_sites(table, target="ill", site="town"), expected)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_separators_and_missing_cells(tmp_path: Path, separator: str) -> None:
    rows = [["age", "note", "y"], ["1", "None", "0"], ["?", "NA", "1"], ["", " a", "1"], ["3", "a", "0"]]
    (tmp_path / "a.csv").write_text("\ufeff" + "\n".join(separator.join(row) for row in rows) + "\n")
    federation = load_sites(tmp_path, target="y", scale=False)
    assert federation.schema is not None
    assert federation.schema.features == ("age", "note=None", "note=a", "note=(missing)")
    # age 1 ? - 3: the mean of 1 and 3 stands in
    assert train(federation, "a").X.tolist() == [[1, 1, 0, 0], [2, 0, 0, 1], [2, 0, 1, 0], [3, 0, 1, 0]]


def test_arrays_are_columns_and_text_labels_are_numbered_in_order() -> None:
    X = np.array([[1.0, 2.0], [3.0, np.nan]])
    federation = load_sites({"a": (X, ["no", "yes"]), "b": (X, np.array(["yes", "yes"]))}, scale=False)
    assert federation.schema is not None
    assert federation.schema.features == ("x0", "x1")
    assert federation.schema.classes == ("no", "yes")
    assert train(federation, "a").y.tolist() == [0, 1]
    assert train(federation, "a").X.tolist() == [[1, 2], [3, 2]]


def test_class_ten_comes_after_class_nine() -> None:
    X = np.array([[1.0], [2.0], [3.0]])
    federation = load_sites({"a": (X, [10, 9, 2])})
    assert federation.schema is not None
    assert federation.schema.classes == ("2", "9", "10")
    assert train(federation, "a").y.tolist() == [2, 1, 0]
    assert federation.schema.class_numbers([9, 10.0, "2"]).tolist() == [1, 2, 0]


def images(folder: Path, site: str, sizes: dict[str, tuple[int, ...]], mode: str = "L") -> None:
    for name, (height, width, value) in sizes.items():
        path = folder / site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (width, height), value if mode == "L" else (value, 0, 0)).save(path)


def test_a_folder_of_images_a_site(tmp_path: Path) -> None:
    images(tmp_path, "b", {"cat/1.png": (2, 3, 255), "dog/0.png": (2, 3, 51)})
    images(tmp_path, "a", {"dog/x.PNG": (2, 3, 0)})
    federation = load_sites(tmp_path)
    assert federation.names == ("a", "b")
    assert federation.schema is not None
    assert federation.schema.shape == (1, 2, 3)
    assert federation.schema.classes == ("cat", "dog")
    assert train(federation, "b").X[:, 0, 0, 0] == pytest.approx([1.0, 0.2])
    assert train(federation, "b").X.dtype == np.float32
    assert train(federation, "a").y.tolist() == [1]


def test_a_grey_site_beside_a_colour_site_gets_three_channels(tmp_path: Path) -> None:
    images(tmp_path, "a", {"x/1.png": (2, 2, 255), "y/1.png": (2, 2, 0)})
    images(tmp_path, "b", {"x/1.png": (2, 2, 255)}, mode="RGB")
    federation = load_sites(tmp_path)
    assert train(federation, "a").X[0].tolist() == np.ones((3, 2, 2)).tolist()
    assert train(federation, "b").X[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_image_size_makes_unlike_images_alike(tmp_path: Path) -> None:
    images(tmp_path, "a", {"x/1.png": (4, 6, 9), "y/2.png": (2, 3, 9)})
    images(tmp_path, "b", {"x/1.png": (8, 8, 9)})
    assert load_sites(tmp_path, image_size=(2, 3))["a"].require_train().X.shape == (2, 1, 2, 3)
    with pytest.raises(BadData, match=r"2\.png is 2 x 3 pixels, 1\.png is 4 x 6.*image_size=\(4, 6\)"):
        load_sites(tmp_path)
    (tmp_path / "a/y/2.png").unlink()
    images(tmp_path, "a", {"y/2.png": (4, 6, 9)})
    with pytest.raises(BadData, match=r"Site 'b' has samples of shape \(1, 8, 8\).*image_size="):
        load_sites(tmp_path)


def test_colour_images_in_an_npz_come_channels_first(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    pixels[0, :, :, 1] = 255
    np.savez(tmp_path / "a.npz", images=pixels, y=[0, 1], name=["p", "q"])
    federation = load_sites(tmp_path, target="y", drop=["name"])
    assert train(federation, "a").X.shape == (2, 3, 4, 5)
    assert train(federation, "a").X[0, 1].min() == 1.0
    with pytest.raises(BadData, match=r"images and columns \('name'\): drop"):
        load_sites(tmp_path, target="y")


def test_raw_sites_can_be_given_policies_before_anything_is_asked() -> None:
    sites, default = read_sites({"berlin": BERLIN})
    assert default is None
    assert sites[0].train is None
    assert sites[0].size is None


def two(**changes: Any) -> dict[str, pd.DataFrame]:
    return {"berlin": BERLIN, "paris": PARIS.assign(**changes)}


def test_missing_folder_is_named_with_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "hospitals").mkdir()
    with pytest.raises(BadData, match=r"no file or folder '.*hospital'\. Did you mean 'hospitals'\?"):
        load_sites(tmp_path / "hospital", target="y")


def test_empty_folder_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    with pytest.raises(BadData, match=r"holds no site: one CSV.*is needed"):
        load_sites(tmp_path, target="y")


def test_more_than_one_kind_of_file(tmp_path: Path) -> None:
    write(write(tmp_path, "csv", a=BERLIN), "parquet", b=PARIS)
    with pytest.raises(
        BadData, match=r"more than one kind of site: CSV \(a\.csv\) and Parquet \(b\.parquet\); keep one"
    ):
        load_sites(tmp_path, target="ill")


def test_two_files_for_one_site(tmp_path: Path) -> None:
    write(write(tmp_path, "csv", a=BERLIN), "csv.gz", a=PARIS)
    with pytest.raises(BadData, match="two files for site 'a'"):
        load_sites(tmp_path, target="ill")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"no gzip"),
        ("a.parquet", b"PAR1 but not really"),
        ("a.npz", b"PK\x03\x04 torn"),
        ("a.csv", b""),
        ("a.csv", b"x,y\n\xff\xfe\xfa,1\n"),
        ("a.csv", b"x,y\n1,2\n1,2,3,4\n1,2\n"),
        ("a.csv", b"x,y\n1,2,3\n1,2,3\n"),
    ],
)
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=rf"{name} cannot be read as \w+ \(.+\): write the file again") as error:
        load_sites(tmp_path, target="y")
    assert "\n" not in str(error.value)


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a" / "cat").mkdir(parents=True)
    (tmp_path / "a" / "cat" / "1.png").write_bytes(b"\x89PNG torn")
    with pytest.raises(BadData, match=r"1\.png cannot be read as an image"):
        load_sites(tmp_path)


def test_a_single_array_is_no_site(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(BadData, match=r"cannot be read as NPZ.*single array without a name"):
        load_sites(tmp_path, target="y")


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.array([{}, []], dtype=object), y=[0, 1])
    with pytest.raises(BadData, match=r"a\.npz cannot be read as NPZ"):
        load_sites(tmp_path, target="y")


def test_empty_site(tmp_path: Path) -> None:
    write(tmp_path, "csv", a=BERLIN, b=BERLIN.iloc[:0])
    with pytest.raises(BadData, match=r"Site 'b': it has no rows: leave it out, or give it at least one\."):
        load_sites(tmp_path, target="ill")


def test_other_columns_name_site_columns_and_remedy() -> None:
    with pytest.raises(
        BadData,
        match=r"Site 'rome' lacks column 'age' and has in excess 'years', compared with site 'berlin'.*drop=",
    ):
        load_sites(two() | {"rome": BERLIN.rename(columns={"age": "years"})}, target="ill")


def test_text_where_numbers_belong_names_site_column_cell_and_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,ill\n1,0\n2,1\n")
    (tmp_path / "b.csv").write_text("age,ill\n1,0\nabc,1\n")
    with pytest.raises(BadData, match=r"Site 'b', column 'age': 'abc' in row 2 is text where numbers belong"):
        load_sites(tmp_path, target="ill")
    (tmp_path / "b.csv").write_text("age,ill\nold,0\n?,1\n")
    with pytest.raises(BadData, match=r"Site 'b', column 'age': 'old' in row 1 is text .*\(as in site 'a'\)"):
        load_sites(tmp_path, target="ill")


def test_rows_of_one_table_keep_their_numbers_in_messages() -> None:
    table = pd.DataFrame({"s": ["a", "b", "a", "b"], "v": [1, 2, 3, "abc"], "y": [0, 1, 1, 0]})
    with pytest.raises(BadData, match=r"Site 'b', column 'v': 'abc' in row 4 is text"):
        load_sites(table, target="y", site="s")


def test_infinite_values_name_the_row() -> None:
    with pytest.raises(BadData, match=r"Site 'paris': column 'age' is infinite: 'inf' in row 2"):
        load_sites(two(age=[1.0, np.inf]), target="ill")


def test_unknown_names_come_with_the_near_one() -> None:
    for setting, error in (
        ("target", BadData),
        ("group", BadSetting),
        ("categorical", BadSetting),
        ("drop", BadSetting),
    ):
        given: dict[str, Any] = {"target": "ill"} | {setting: "sexx"}
        with pytest.raises(error, match=rf"no column 'sexx' \({setting}\)\. Did you mean 'sex'\?"):
            load_sites(two(), **given)
    with pytest.raises(BadSetting, match=r"no column 'agee' \(missing\)\. Did you mean 'age'\?"):
        load_sites(two(), target="ill", missing={"agee": [0]})


def test_what_is_lacking_in_the_call_is_said() -> None:
    with pytest.raises(BadSetting, match="target= must name the column to predict; the columns are age, sex, ill"):
        load_sites(two())
    with pytest.raises(BadSetting, match="site= must name the column"):
        load_sites(BERLIN, target="ill")
    with pytest.raises(BadData, match=r"no column 'sexe' \(site\) in the table\. Did you mean 'sex'"):
        load_sites(BERLIN, target="ill", site="sexe")
    with pytest.raises(BadSetting, match="each site has its own data: leave it out"):
        load_sites(two(), target="ill", site="sex")
    with pytest.raises(BadData, match="names no site in row 2"):
        load_sites(BERLIN.assign(s=["a", "?", "b"]), target="ill", site="s")
    with pytest.raises(BadData, match="dict of sites is empty"):
        load_sites({}, target="ill")
    with pytest.raises(BadData, match="Site 'a' holds a list"):
        load_sites({"a": [1, 2]}, target="ill")
    with pytest.raises(BadSetting, match="source is a int"):
        load_sites(3, target="ill")  # type: ignore[arg-type]
    with pytest.raises(BadData, match=r"X has shape \(3,\) and y \(3,\)"):
        load_sites({"a": (np.zeros(3), np.zeros(3))})
    with pytest.raises(BadData, match="different numbers of rows"):
        load_sites({"a": (np.zeros((3, 1)), np.zeros(2))})
    with pytest.raises(BadData, match="Two columns are called 'age'"):
        load_sites({"a": pd.concat([BERLIN, BERLIN["age"]], axis=1)}, target="ill")


def test_heart_disease_loads_in_one_call(shared_data: Path) -> None:
    federation = load_sites(
        shared_data / "heart-disease" / "heart_disease.csv.gz",
        target="num > 0",
        site="site",
        missing={"chol": [0]},
    )
    assert federation.names == ("cleveland", "hungary", "long_beach_va", "switzerland")
    ill = {site.name: int(site.require_train().y.sum()) for site in federation}
    assert ill == {"cleveland": 139, "hungary": 106, "long_beach_va": 149, "switzerland": 115}  # its README
    assert federation.schema is not None
    assert federation.schema.classes == ("num <= 0", "num > 0")
    assert any("'chol' is missing entirely at 'switzerland'" in warning for warning in federation.schema.warnings)


def test_patients_of_parkinsons_are_sites_in_numeric_order(shared_data: Path) -> None:
    federation = load_sites(
        shared_data / "parkinsons-telemonitoring" / "parkinsons_updrs.csv.gz",
        target="total_UPDRS",
        site="subject#",
        drop=["motor_UPDRS"],
    )
    assert federation.names == tuple(str(i) for i in range(1, 43))
    assert federation.schema is not None
    assert federation.schema.classes is None
    assert sum(len(site.require_train()) for site in federation) == 5875


def test_landmine_fields_from_an_npz_with_a_site_column(shared_data: Path) -> None:
    federation = load_sites(shared_data / "landmine" / "landmine.npz", target="labels", site="field")
    assert federation.names == tuple(str(i) for i in range(29))
    assert sum(int(site.require_train().y.sum()) for site in federation) == 904  # its README
