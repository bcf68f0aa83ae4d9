-- How far a person is into a category.
SELECT user_id,
       category_id,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '5 minutes')) AS views_5m,
       count(*) FILTER (WHERE kind = 'view'  AND within(ts, '1 hour'))    AS views_1h,
       count(*) FILTER (WHERE kind <> 'view' AND within(ts, '1 day'))     AS wants_1d
FROM clicks
GROUP BY user_id, category_id
