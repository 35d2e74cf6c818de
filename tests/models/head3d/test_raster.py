import torch

from models.head3d.raster import interpolate, rasterise


def square(x, y, side, z):
    """Two triangles"""
    corners = [[x, y, z], [x + side, y, z], [x, y + side, z], [x + side, y + side, z]]
    return torch.tensor(corners)[None].float(), torch.tensor([[0, 1, 2], [1, 3, 2]])


def sheet(count, low, high, seed=None, batch=1):
    """A grid of count x count vertices, shaken, that covers a square"""
    along = torch.linspace(low, high, count)
    y, x = torch.meshgrid(along, along, indexing="ij")
    vertices = torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3).repeat(batch, 1, 1)
    if seed is not None:
        vertices = vertices + torch.randn(vertices.shape, generator=torch.Generator().manual_seed(seed))
    i = torch.arange(count**2).view(count, count)
    above = torch.stack([i[:-1, :-1], i[:-1, 1:], i[1:, :-1]], -1).view(-1, 3)
    below = torch.stack([i[1:, 1:], i[:-1, 1:], i[1:, :-1]], -1).view(-1, 3)
    return vertices, torch.cat([above, below])


def one_by_one(vertices, triangles, height, width):
    """The same by looking at every pair of pixel and triangle"""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    best, faces = torch.full((height, width), torch.inf).double(), torch.full((height, width), -1)
    for number, corners in enumerate(vertices[triangles].double()):
        edges = torch.stack([corners[1] - corners[0], corners[2] - corners[0]], -1)[:2]
        if edges.det().abs() < 1e-9:
            continue
        second, third = torch.linalg.solve(
            edges, torch.stack([x - corners[0, 0], y - corners[0, 1]]).flatten(1)
        )
        weights = torch.stack([1 - second - third, second, third], -1).view(height, width, 3)
        depth = (weights * corners[:, 2]).sum(-1)
        nearer = (weights >= 0).all(-1) & (depth < best)
        best[nearer], faces[nearer] = depth[nearer], number
    return faces


def test_it_draws_what_the_slow_way_draws():
    torch.manual_seed(0)
    vertices = torch.rand(2, 40, 3) * torch.tensor([50.0, 40.0, 10.0]) - torch.tensor([5.0, 5.0, 0.0])
    triangles = torch.randint(0, 40, (60, 3))
    found = rasterise(vertices, triangles, 30, 42)
    for own, faces in zip(vertices, found.faces, strict=True):
        same = (one_by_one(own, triangles, 30, 42) == faces).float().mean()
        assert same > 0.999  # but on the very edge of two


def test_the_nearer_hides_the_farther_in_either_order():
    (near, pair), (far, _) = square(2, 2, 8, 1.0), square(0, 0, 15, 5.0)
    for first, second, front in ((near, far, {0, 1}), (far, near, {2, 3})):
        found = rasterise(torch.cat([first, second], 1), torch.cat([pair, pair + 4]), 16, 16)
        assert set(found.faces[0, 3:10, 3:10].flatten().tolist()) <= front
        assert found.mask[0, :16, :16].sum() == 256


def test_a_shaken_sheet_has_no_holes_and_interpolates_its_places():
    vertices, triangles = sheet(17, -6, 70, seed=1, batch=3)
    found = rasterise(vertices, triangles, 64, 64)
    assert found.mask.all()
    assert (found.weights.sum(-1) - 1).abs().max() < 1e-4
    places = interpolate(found, vertices[..., :2], triangles)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    assert (places - torch.stack([x, y], -1)).abs().max() < 1e-3


def test_what_lies_outside_the_picture_or_has_no_area_is_left_out():
    vertices, pair = square(100, 100, 5, 0.0)
    found = rasterise(vertices, pair, 16, 16)
    assert not found.mask.any() and not found.weights.any()
    line = torch.tensor([[[0.0, 0, 0], [8, 8, 0], [15, 15, 0]]])
    assert not rasterise(line, torch.tensor([[0, 1, 2]]), 16, 16).mask.any()


def test_large_triangles_cover_the_picture():
    vertices, pair = square(-500, -500, 1200, 0.0)
    assert rasterise(vertices, pair, 70, 200).mask.all()
